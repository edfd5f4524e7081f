"""Servers that die and networks that are cut under load: what was acknowledged is in the log, once."""

import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
from returns.result import Success

from interpreters.derivation import master_key_credential
from interpreters.doors import create_place, open_place
from interpreters.places import parse_place
from interpreters.vault import Vault
from ironsecrets.audit import decode_entry
from properties.worlds import MASTER_KEY
from tests.clusters import Network, Server, folder

ROUNDS = 10
CLIENTS = 3
WAITS = {"synchronous_standby_names": "*", "max_wal_senders": "8", "wal_keep_size": "64MB"}


@attrs.define
class Clients:
    """Client processes under load, and what was acknowledged to each."""

    url: str
    folder: Path
    processes: "list[subprocess.Popen[bytes]]" = attrs.field(factory=list)

    def start(self) -> None:
        for number in range(CLIENTS):
            with open(self._said(number), "wb") as said, open(self._complained(number), "wb") as complained:
                self.processes.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "tests.hammering", self.url, str(number), str(self.folder / "stop")],
                        stdout=said,
                        stderr=complained,
                    )
                )

    def _said(self, number: int) -> Path:
        return self.folder / f"said-{number}"

    def _complained(self, number: int) -> Path:
        return self.folder / f"complained-{number}"

    def acknowledged(self, number: int) -> list[tuple[str, int]]:
        """Requests and the numbers of their entries, as one client was told them."""
        lines = [line.split() for line in self._said(number).read_text().splitlines()]
        return [(line[0], int(line[1])) for line in lines if len(line) == 3]

    def counts(self) -> list[int]:
        """How many each client was told of."""
        return [len(self.acknowledged(number)) for number in range(CLIENTS)]

    def wait_for_more(self) -> None:
        """Until every client has been told of more, so that all of them go on."""
        before = self.counts()
        for _ in range(1200):
            if all(count > was + 3 for count, was in zip(self.counts(), before, strict=True)):
                return
            assert all(one.poll() is None for one in self.processes), self.complaints()
            time.sleep(0.05)
        raise AssertionError(f"the clients did not go on: {self.complaints()}")

    def complaints(self) -> str:
        return " ".join(self._complained(number).read_text()[-1500:] for number in range(CLIENTS))

    def stop(self) -> None:
        (self.folder / "stop").touch()
        for one in self.processes:
            assert one.wait(120) == 0, self.complaints()

    def kill(self) -> None:
        for one in self.processes:
            one.kill()
            one.wait()


def opened(url: str) -> Vault:
    return open_place(parse_place(url), master_key_credential(MASTER_KEY))


def made(url: str) -> None:
    """A vault with a secret that the clients' agent may lease."""
    with create_place(parse_place(url), master_key_credential(MASTER_KEY), created_by="alice") as vault:
        operator = vault.operator("alice")
        operator.put("shared/key", "the value that all of them use", environment="production")
        operator.grant("agent_shared", "shared/key", environment="production")


def check(url: str, clients: Clients) -> int:
    """No acknowledged entry is missing, none is double, and the log verifies; how many were acknowledged."""
    with opened(url) as vault:
        requests = [str(decode_entry(raw).unwrap().request) for raw in vault.entries()]
        assert isinstance(vault.verify(), Success)
    assert [one for one, times in Counter(requests).items() if times > 1] == []
    told = [one for number in range(CLIENTS) for one in clients.acknowledged(number)]
    assert [(one, seq) for one, seq in told if requests[seq] != one] == []
    return len(told)


@pytest.fixture
def place() -> Iterator[Path]:
    where = folder()
    yield where
    shutil.rmtree(where, ignore_errors=True)


@pytest.fixture
def pair(place: Path) -> Iterator[list[Server]]:
    """A primary, and a standby that every commit waits for."""
    servers = [Server(place / "one"), Server(place / "two")]
    try:
        servers[0].initialise()
        servers[0].start(max_wal_senders="8")
        servers[1].follow(servers[0])
        servers[1].start(**WAITS)
        servers[0].ask("ALTER SYSTEM SET synchronous_standby_names = '*'")
        servers[0].ask("SELECT pg_reload_conf()")
        yield servers
    finally:
        for one in servers:
            one.kill()


@pytest.mark.timeout(600)
def test_a_primary_that_is_killed(
    pair: list[Server], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    ports = [server.port for server in pair]
    url = f"postgresql://postgres@127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}/postgres?vault=shared"
    made(url)
    clients = Clients(url, tmp_path)
    clients.start()
    primary, standby = pair
    try:
        for _ in range(ROUNDS):
            clients.wait_for_more()
            primary.kill()
            standby.ask("SELECT pg_promote()")
            primary.follow(standby)
            primary.start(**WAITS)
            clients.wait_for_more()
            primary, standby = standby, primary
        clients.stop()
        told = check(url, clients)
    finally:
        clients.kill()
    record_property("faults", ("PostgreSQL: primary killed, standby promoted", ROUNDS, 0))
    record_property("faults", ("PostgreSQL: acknowledged through failovers", told, 0))


def test_nobody_is_second_for_ever(place: Path, tmp_path: Path) -> None:
    server = Server(place / "one")
    server.initialise()
    server.start()
    url = f"{server.url}?vault=shared"
    clients = Clients(url, tmp_path)
    try:
        made(url)
        clients.start()
        clients.wait_for_more()
        before = clients.counts()
        while max(count - was for count, was in zip(clients.counts(), before, strict=True)) < 150:
            time.sleep(0.05)
        more = [count - was for count, was in zip(clients.counts(), before, strict=True)]
        clients.stop()
    finally:
        clients.kill()
        server.kill()
    assert min(more) > max(more) / 2, more


@pytest.mark.timeout(600)
def test_a_network_that_is_cut(place: Path, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """In the middle of appends: sometimes the server never hears of them, sometimes only the answer is lost."""
    server = Server(place / "one")
    server.initialise()
    server.start()
    network = Network(server.port)
    url = f"postgresql://postgres@127.0.0.1:{network.port}/postgres?vault=shared"
    clients = Clients(url, tmp_path)
    try:
        made(url)
        clients.start()
        for number in range(ROUNDS):
            clients.wait_for_more()
            if number % 2:
                network.deaf = True
                time.sleep(0.02)
            network.cut()
        clients.wait_for_more()
        clients.stop()
        told = check(url, clients)
    finally:
        clients.kill()
        network.close()
        server.kill()
    record_property("faults", ("PostgreSQL: network cut in mid-append", ROUNDS, 0))
    record_property("faults", ("PostgreSQL: acknowledged through cuts", told, 0))
