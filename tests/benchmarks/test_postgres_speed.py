"""Durable leases per second in PostgreSQL, beside pgbench's own insert rate on the same server, one after the other.

pgbench inserts a row like a log entry (a unique request, a few hundred bytes) with prepared statements. A lease is that
and more: it is decided, sealed, appended on condition of the log's size, and its value is read and opened.
"""

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from interpreters.derivation import master_key_credential
from interpreters.doors import create_place
from interpreters.places import parse_place
from interpreters.vault import Vault
from properties.worlds import MASTER_KEY
from tests.benchmarks import MEASURING
from tests.clusters import Server, binaries, folder

SECONDS = 3.0 if MEASURING else 0.2
INSERT = (
    "INSERT INTO pgbench_entries (request, sealed) VALUES"
    " (decode(md5(random()::text || clock_timestamp()::text), 'hex'), decode(repeat('ab', 300), 'hex'))"
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    place = folder()
    made = Server(place / "one")
    made.initialise()
    made.start(max_connections="200")
    made.ask(
        "CREATE TABLE pgbench_entries (seq bigserial PRIMARY KEY, request bytea NOT NULL UNIQUE, sealed bytea NOT NULL)"
    )
    yield made
    made.kill()
    shutil.rmtree(place, ignore_errors=True)


def inserts_per_second(server: Server, callers: int, script: Path) -> float:
    """What pgbench reports."""
    script.write_text(f"{INSERT};\n")
    options = ("-n", "-M", "prepared", "-f", str(script), "-c", str(callers), "-j", str(min(callers, 2)))
    done = subprocess.run(
        [str(binaries() / "pgbench"), *options, "-T", str(max(1, round(SECONDS))), server.url],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    assert found is not None
    return float(found[1])


def leases_per_second(vault: Vault, callers: int) -> float:
    """Threads that lease one value after the other."""
    agent = vault.acting_for("agent_one")
    begin, end = threading.Event(), [0.0]
    done: list[int] = []

    def lease() -> None:
        begin.wait()
        number = 0
        while time.perf_counter() < end[0]:
            agent.lease("openai/key", environment="production")
            number += 1
        done.append(number)

    threads = [threading.Thread(target=lease) for _ in range(callers)]
    for thread in threads:
        thread.start()
    began = time.perf_counter()
    end[0] = began + SECONDS
    begin.set()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - began)


@pytest.mark.parametrize("callers", [1, 8, 64])
def test_leases_in_postgresql_beside_pgbench(
    benchmark: Any, server: Server, tmp_path: Path, callers: int, record_property: Callable[[str, object], None]
) -> None:
    place = parse_place(f"{server.url}?vault=callers{callers}")
    with create_place(place, master_key_credential(MASTER_KEY), created_by="alice") as vault:
        operator = vault.operator("alice")
        operator.put("openai/key", "sk-proj-of-a-benchmark", environment="production")
        operator.grant("agent_one", "openai/*", environment="production")
        leases_per_second(vault, callers)
        rate = benchmark.pedantic(lambda: leases_per_second(vault, callers), rounds=1, iterations=1)
    floor = inserts_per_second(server, callers, tmp_path / "insert.sql")
    figures = {"leases/s": round(rate), "pgbench inserts/s": round(floor), "ratio": round(rate / floor, 2)}
    benchmark.extra_info |= figures
    if MEASURING:
        record_property("figures", (f"{callers} callers, durable, in PostgreSQL", figures))
    assert rate > 0
