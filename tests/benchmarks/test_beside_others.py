"""The same work done by what people would use instead: keep and get back 1,000 values of 64 bytes, one by one.

``pip install ironsecrets[bench]``, and the ``age`` command; what is not there is skipped. None of the others has an
audit log, grants or leases, or notices that a record was swapped or put back; that is what the difference buys.
"""

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

import ironsecrets
from properties.worlds import MASTER_KEY
from tests.benchmarks import MEASURING

COUNT = 1000 if MEASURING else 5
VALUES = {f"name/{number}": os.urandom(32).hex() for number in range(COUNT)}
ENVIRONMENT = "production"


def once(benchmark: Any, work: Any, count: int = COUNT) -> None:
    benchmark.extra_info["values"] = count
    benchmark.pedantic(work, rounds=1)
    if benchmark.stats is not None:
        benchmark.extra_info["ms a value"] = round(benchmark.stats.stats.mean / count * 1000, 2)


def test_ironsecrets(benchmark: Any, tmp_path: Path) -> None:
    """Durable and audited, each put and each get."""
    with ironsecrets.create_vault(tmp_path / "v", master_key=MASTER_KEY) as vault:
        operator = vault.operator("o")

        def work() -> None:
            for name, value in VALUES.items():
                operator.put(name, value, environment=ENVIRONMENT)
            for name, value in VALUES.items():
                with operator.reveal(name, environment=ENVIRONMENT) as shown:
                    assert shown.bytes() == value.encode()

        once(benchmark, work)


def test_fernet_and_sqlite3(benchmark: Any, tmp_path: Path) -> None:
    """One table, one Fernet key, WAL and synchronous=FULL, one commit a value. No audit, no grants, no binding."""
    from cryptography.fernet import Fernet

    cipher = Fernet(Fernet.generate_key())
    database = sqlite3.connect(tmp_path / "db", isolation_level=None)
    database.execute("pragma journal_mode = wal")
    database.execute("pragma synchronous = full")
    database.execute("create table secrets (name text primary key, value blob)")

    def work() -> None:
        for name, value in VALUES.items():
            database.execute("insert or replace into secrets values (?, ?)", (name, cipher.encrypt(value.encode())))
        for name, value in VALUES.items():
            (sealed,) = database.execute("select value from secrets where name = ?", (name,)).fetchone()
            assert cipher.decrypt(sealed).decode() == value

    once(benchmark, work)
    database.close()


def test_pykeepass(benchmark: Any, tmp_path: Path) -> None:
    """A KeePass database, saved once at the end: to save after each value would seal the whole file each time."""
    pykeepass = pytest.importorskip("pykeepass")
    database = pykeepass.create_database(str(tmp_path / "db.kdbx"), password="password")

    def work() -> None:
        for name, value in VALUES.items():
            database.add_entry(database.root_group, name, "user", value)
        database.save()
        again = pykeepass.PyKeePass(str(tmp_path / "db.kdbx"), password="password")
        found = {entry.title: entry.password for entry in again.entries}
        assert found == VALUES

    once(benchmark, work)


def test_keyrings_cryptfile(benchmark: Any, tmp_path: Path) -> None:
    """One INI file, written whole for each value, AES-GCM under a key that Argon2 gives anew for each operation: so a
    fiftieth of the values. No audit, no grants, not synced."""
    cryptfile = pytest.importorskip("keyrings.cryptfile.cryptfile")
    ring = cryptfile.CryptFileKeyring()
    ring.file_path = str(tmp_path / "ring.cfg")
    ring.keyring_key = "password"

    some = dict(list(VALUES.items())[: max(COUNT // 50, 1)])

    def work() -> None:
        for name, value in some.items():
            ring.set_password(ENVIRONMENT, name, value)
        for name, value in some.items():
            assert ring.get_password(ENVIRONMENT, name) == value

    once(benchmark, work, len(some))


@pytest.mark.skipif(shutil.which("age") is None, reason="there is no age command here")
def test_age(benchmark: Any, tmp_path: Path) -> None:
    """One file a value, one process an operation. No audit, no grants; whoever has the key reads all."""
    key = subprocess.run(["age-keygen"], capture_output=True, text=True, check=True).stdout
    (tmp_path / "key").write_text(key)
    recipient = next(line.split()[-1] for line in key.splitlines() if "public key" in line)

    def work() -> None:
        for number, value in enumerate(VALUES.values()):
            target = str(tmp_path / str(number))
            subprocess.run(["age", "-r", recipient, "-o", target], input=value.encode(), check=True)
        for number, value in enumerate(VALUES.values()):
            command = ["age", "-d", "-i", str(tmp_path / "key"), str(tmp_path / str(number))]
            assert subprocess.run(command, capture_output=True, check=True).stdout.decode() == value

    once(benchmark, work)
