"""The file goes away, changes or is held underneath an opened vault; the process forks."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import apsw
import pytest
from returns.result import Success

import ironsecrets
from properties.worlds import MASTER_KEY
from tests.conftest import Opener
from tests.faults.histories import ENVIRONMENT


def put(vault: ironsecrets.Vault, name: str = "a", value: bytes | str = "x") -> int:
    return vault.operator("o").put(name, value, environment=ENVIRONMENT)


def test_a_deleted_file_takes_nothing_that_nobody_could_find(path: Path, opened: Opener) -> None:
    vault = opened()
    put(vault)
    for file in path.parent.glob("test.vault*"):
        file.unlink()
    with pytest.raises(ironsecrets.VaultError, match="moved, replaced or deleted"):
        put(vault)
    with pytest.raises(ironsecrets.VaultNotFound):
        ironsecrets.open_vault(path, master_key=MASTER_KEY)


def test_a_replaced_file_is_noticed(path: Path, opened: Opener, tmp_path: Path) -> None:
    """Another file under the same name: what is written to the old one would be lost with this process."""
    vault = opened()
    put(vault)
    vault.snapshot()
    copy = tmp_path / "copy"
    shutil.copy(path, copy)
    lease = None
    vault.operator("o").grant("agent_one", "**", environment=ENVIRONMENT)
    lease = vault.acting_for("agent_one").lease("a", environment=ENVIRONMENT)
    os.replace(copy, path)
    with pytest.raises(ironsecrets.VaultError, match="moved, replaced or deleted"):
        put(vault)
    with pytest.raises(ironsecrets.VaultError, match="moved, replaced or deleted"):
        lease.text()


@pytest.mark.parametrize("left", [0, 100, 4096, 5000])
def test_a_truncated_file_is_found(path: Path, opened: Opener, left: int) -> None:
    vault = opened()
    put(vault, value=b"y" * 20_000)
    vault._engine.store.settle()
    os.truncate(path, left)
    with pytest.raises(ironsecrets.VaultError):
        list(vault.entries())
        put(vault, "b", b"z" * 50_000)
        vault.verify().unwrap()
    with pytest.raises(ironsecrets.VaultError):
        ironsecrets.open_vault(path, master_key=MASTER_KEY)


def test_a_file_that_became_read_only_for_its_owner(path: Path, opened: Opener) -> None:
    vault = opened()
    put(vault)
    path.chmod(0o400)
    with suppress(ironsecrets.VaultError):
        # The open descriptor may still write; whatever it says, nothing is torn.
        put(vault, "b")
    path.chmod(0o600)
    assert isinstance(vault.verify(), Success)


def test_a_stuck_reader_grows_the_log_and_no_more(path: Path, opened: Opener) -> None:
    """A parked read transaction keeps checkpoints from finishing; writing goes on, and afterwards the WAL shrinks."""
    vault = opened()
    vault._engine.store._checkpoint_pages = 50
    reader = apsw.Connection(str(path))
    reader.execute("begin")
    reader.execute("select count(*) from entries").fetchall()
    for number in range(150):
        put(vault, f"n{number % 10}", os.urandom(2000))
    wal = Path(f"{path}-wal")
    grown = wal.stat().st_size
    assert grown > 400_000
    assert not vault.operator("o").destroy("n1", environment=ENVIRONMENT, version=1), "the reader still sees it"
    reader.execute("rollback")
    reader.close()
    assert vault.operator("o").destroy("n2", environment=ENVIRONMENT, version=1)
    assert wal.stat().st_size < grown
    assert isinstance(vault.verify(), Success)


def test_a_forked_child_refuses_and_the_parent_goes_on(path: Path, opened: Opener) -> None:
    vault = opened()
    put(vault)
    lease = None
    vault.operator("o").grant("agent_one", "**", environment=ENVIRONMENT)
    lease = vault.acting_for("agent_one").lease("a", environment=ENVIRONMENT)
    for _ in range(5):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                refused = 0
                for act in (lambda: put(vault), lease.text, vault.verify, lambda: vault.state, vault.checkpoint):
                    try:
                        act()
                    except ironsecrets.VaultClosed:
                        refused += 1
                vault.close()
                with ironsecrets.open_vault(path, master_key=MASTER_KEY) as own:
                    put(own, "child")
                code = 0 if refused == 5 else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        put(vault, "parent")
        assert lease.text() == "x"
    secrets = vault.operator("o").secrets(environment=ENVIRONMENT)
    assert {secret.name: len(secret.versions) for secret in secrets} == {"a": 1, "child": 5, "parent": 5}
    assert isinstance(vault.verify(), Success)


WRITER = """
import sys, ironsecrets
with ironsecrets.open_vault(sys.argv[1], master_key=bytes.fromhex(sys.argv[2])) as vault:
    operator = vault.operator("w")
    for number in range(100_000):
        version = operator.put("a", str(number), environment="development")
        print(version, flush=True)
        if number % 7 == 3:
            operator.rotate_key(batch=3)
        if number % 5 == 2:
            operator.destroy("a", environment="development", version=version - 1)
"""


def test_kill_9_in_a_loop_loses_nothing_that_was_said(path: Path, opened: Opener, record_property: object) -> None:
    opened().close()
    said, rounds = 0, 12
    for round_ in range(rounds):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), MASTER_KEY.hex()], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        for _ in range(3 + 5 * (round_ % 5)):
            said = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        said = max([said, *(int(line) for line in writer.stdout if line.endswith("\n"))])
        writer.stdout.close()
        writer.wait()
        with ironsecrets.open_vault(path, master_key=MASTER_KEY) as vault:
            versions = vault.operator("o").history("a", environment="development").versions
            assert len(versions) in (said, said + 1)
            assert isinstance(vault.verify(), Success)
    record_property("faults", ("kill -9 of a writer", rounds, 0))  # type: ignore


def test_pythons_own_sqlite_reading_along_changes_nothing(path: Path, opened: Opener) -> None:
    """Another library's connection in another process, as a curious person has one."""
    vault = opened()
    put(vault)
    program = (
        "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('select count(*) from entries').fetchone())"
    )
    out = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == f"({vault.state.log.size},)"
    assert sqlite3.sqlite_version
    put(vault)
    assert isinstance(vault.verify(), Success)
