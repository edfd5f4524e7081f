"""Everything at once: several who share a vault put, lease, use, rotate keys, destroy, archive, verify and restart, and
nobody meets anything but refusals, however late a store may be to tell."""

import os
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from returns.result import Success

from interpreters.doors import create_place, open_place
from interpreters.lease_handle import LeaseHandle
from interpreters.places import Place, parse_place
from interpreters.postgres.listening import Listener
from interpreters.vault import Vault
from ironsecrets.errors import Refused, VaultBusy
from properties.worlds import credential
from tests import postgres
from tests.faults.depth import DEEP

MEMBERS = 4
STEPS = 2000 if DEEP else 150
NAMES = [f"shared/{number}" for number in range(5)]
WHATS = ("put", "lease", "use", "use", "use", "release", "rotate", "reveal", "destroy", "verify", "archive", "reopen")


class Member:
    """One process's use of the vault, by a dice of its own."""

    def __init__(self, place: Place, number: int, folder: Path) -> None:
        self._place, self._folder = place, folder
        self._dice = random.Random(number)
        self._name = f"member{number}"
        self._leases: list[LeaseHandle] = []
        self._vault = self._opened()

    def _opened(self) -> Vault:
        return open_place(self._place, credential())

    def step(self) -> None:
        what, name, dice = self._dice.choice(WHATS), self._dice.choice(NAMES), self._dice
        vault, operator = self._vault, self._vault.operator(self._name)
        agent = vault.acting_for("agent_one")
        match what:
            case "put":
                operator.put(name, os.urandom(20), environment="production")
            case "lease":
                self._leases.append(agent.lease(name, environment="production"))
            case "use" if self._leases:
                lease = dice.choice(self._leases)
                lease.bytes()
                vault.use_lease(agent.agent, lease.id)
            case "release" if len(self._leases) > 3:
                self._leases.pop().release()
            case "rotate" if dice.random() < 0.3:
                operator.rotate_key()
            case "reveal":
                operator.reveal(name, environment="production")
            case "destroy":
                operator.destroy(name, environment="production", version=dice.randrange(1, 30))
            case "verify" if dice.random() < 0.2:
                assert isinstance(vault.verify(), Success)
            case "archive" if dice.random() < 0.1:
                vault.archive(self._name, before=datetime.now(UTC), folder=self._folder / f"{dice.random()}")
            case "reopen" if dice.random() < 0.2:
                self._leases.clear()
                vault.close()
                self._vault = self._opened()
            case _:
                pass

    def run(self, failed: list[BaseException]) -> None:
        try:
            for _ in range(STEPS):
                try:
                    self.step()
                except (Refused, VaultBusy):
                    continue
        except BaseException as error:
            failed.append(error)
        finally:
            self._vault.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["file", "postgresql, bound 0", "postgresql, nobody tells"])
def test_a_crowd(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    if kind.endswith("tells"):
        monkeypatch.setattr(Listener, "heard", lambda self, topic: (0, 0))
    bound = "3600s" if kind.endswith("tells") else "0"
    place = tmp_path / "shared.vault" if kind == "file" else parse_place(postgres.fresh(bound))
    with create_place(place, credential(), created_by="alice") as vault:
        operator = vault.operator("alice")
        for name in NAMES:
            operator.put(name, "the first value", environment="production")
        operator.grant("agent_one", "shared/*", environment="production")
        failed: list[BaseException] = []
        members = [Member(place, number, tmp_path) for number in range(MEMBERS)]
        threads = [threading.Thread(target=member.run, args=(failed,)) for member in members]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert isinstance(vault.verify(), Success)
    record_property("faults", (f"a crowd that does everything at once: {kind}", MEMBERS * STEPS, 0))
