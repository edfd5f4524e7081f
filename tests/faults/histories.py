"""Random histories of everything that a vault does, and what of it was acknowledged."""

import random
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import attrs

import ironsecrets
from interpreters.conversions import moment
from interpreters.derivation import master_key_credential
from interpreters.rotators import CallableRotator
from interpreters.vault import Vault
from properties.worlds import MASTER_KEY

ENVIRONMENT = "development"
NAMES = ("a", "b", "c/d")
SECOND_KEY = bytes(range(1, 33))


@attrs.define
class History:
    """A vault in use. ``acknowledge`` is called after each command that returned, with the size of the log."""

    vault: Vault
    chance: random.Random
    acknowledge: Callable[[int], None]
    slots: list[str] = attrs.field(factory=list[str])
    rekeys: bool = True
    rotates: bool = True
    archives: bool = True
    tried: int = 0

    def step(self) -> str:
        """One command, chosen at random; its name. A refusal is as good as an answer."""
        name, act = self.chance.choice(_ACTS)
        with suppress(ironsecrets.Refused):
            act(self)
        self.tried += 1
        self.acknowledge(self.vault.state.log.size)
        return name

    def name(self) -> str:
        return self.chance.choice(NAMES)


def _put(history: History) -> None:
    size = history.chance.choice((1, 20, 300, 9000))
    history.vault.operator("o").put(history.name(), history.chance.randbytes(size), environment=ENVIRONMENT)


def _grant(history: History) -> None:
    history.vault.operator("o").grant("agent_one", "**", environment=ENVIRONMENT, uses=history.chance.choice((None, 2)))


def _lease(history: History) -> None:
    with history.vault.acting_for("agent_one").lease(history.name(), environment=ENVIRONMENT) as lease:
        lease.bytes()


def _revoke(history: History) -> None:
    history.vault.operator("o").revoke_agent("agent_one")


def _destroy(history: History) -> None:
    name = history.name()
    secret = history.vault.state.secrets.find(ENVIRONMENT, name)  # type: ignore
    if secret is not None:
        version = history.chance.randint(1, len(secret.versions))
        history.vault.operator("o").destroy(name, environment=ENVIRONMENT, version=version)


def _erase(history: History) -> None:
    history.vault.operator("o").erase(history.name(), environment=ENVIRONMENT)


def _rotate(history: History) -> None:
    if not history.rotates:
        return
    operator, name = history.vault.operator("o"), history.name()
    rotators = {"own": CallableRotator(set=lambda task: None, test=lambda task: None, abort=lambda task: None)}
    operator.rotation.set(name, environment=ENVIRONMENT, rotator="own", every=timedelta(days=1))
    operator.rotation.now(name, environment=ENVIRONMENT, rotators=rotators)


def _rotate_key(history: History) -> None:
    history.vault.operator("o").rotate_key(batch=2)


def _rekey(history: History) -> None:
    if not history.rekeys:
        return
    credentials = [master_key_credential(MASTER_KEY)] + [master_key_credential(SECOND_KEY)] * len(history.slots)
    history.vault.operator("o").rekey(credentials=credentials)


def _slot(history: History) -> None:
    operator = history.vault.operator("o")
    if not history.rekeys:
        return
    if history.slots:
        operator.remove_slot(history.slots.pop())
    else:
        unlock, new = master_key_credential(MASTER_KEY), master_key_credential(SECOND_KEY)
        history.slots.append(operator.add_slot(unlock=unlock, new=new))


def _snapshot(history: History) -> None:
    history.vault.snapshot()


def _archive(history: History) -> None:
    if not history.archives:
        return
    with tempfile.TemporaryDirectory(prefix="ironsecrets-segments-") as folder:
        now = history.vault.state.last_at
        history.vault.archive("o", before=moment(now - history.chance.choice((0, 2000, 20_000))), folder=folder)


def _rollback(history: History) -> None:
    history.vault.operator("o").rollback(history.name(), environment=ENVIRONMENT, to=1)


_ACTS: tuple[tuple[str, Callable[[History], None]], ...] = (
    ("put", _put),
    ("put", _put),
    ("put", _put),
    ("grant", _grant),
    ("grant", _grant),
    ("lease", _lease),
    ("lease", _lease),
    ("revoke", _revoke),
    ("destroy", _destroy),
    ("erase", _erase),
    ("rotate", _rotate),
    ("rotate-key", _rotate_key),
    ("rekey", _rekey),
    ("slot", _slot),
    ("snapshot", _snapshot),
    ("rollback", _rollback),
    ("archive", _archive),
)
