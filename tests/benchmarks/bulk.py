"""Large vaults in minutes: many commands in one commit, through the very code that shares commits among threads."""

import os
from collections.abc import Iterator
from pathlib import Path

import ironsecrets
from interpreters.committing import TOGETHER, Asked, prepared, serve
from interpreters.vault import Vault
from ironsecrets.drafts import Draft, NewVersion
from ironsecrets.identifiers import Environment, PersonName, RequestId, SecretName
from ironsecrets.principals import Operator
from ironsecrets.sensitive import Sensitive
from properties.worlds import MASTER_KEY

ENVIRONMENT = "production"
OLGA = Operator(PersonName("olga"))


def name_of(number: int) -> str:
    """The name of secret ``number``."""
    return f"team-{number % 97}/service/key-{number}"


def grown(path: Path, *, secrets: int, entries: int) -> Vault:
    """A vault of so many secrets of 64 bytes and so many entries, the rest of which are further versions."""
    vault = ironsecrets.create_vault(path, master_key=MASTER_KEY)
    operator = vault.operator("olga")
    operator.grant("agent_one", "**", environment=ENVIRONMENT)
    engine = vault._engine

    def asks() -> Iterator[Draft]:
        for number in range(max(secrets, entries - 2)):
            yield NewVersion(
                name=SecretName(name_of(number % secrets)),
                environment=Environment(ENVIRONMENT),
                value=Sensitive(os.urandom(64)),
            )

    group: list[Asked] = []
    for ask in asks():
        request = RequestId("rq_" + os.urandom(16).hex())
        group.append(Asked(OLGA, lambda state, at, ask=ask: prepared(engine, state, at, ask), request, False))
        if len(group) == TOGETHER:
            _served(vault, group)
            group = []
    _served(vault, group)
    vault.snapshot()
    return vault


def _served(vault: Vault, group: list[Asked]) -> None:
    with vault._engine.lock:
        serve(vault._engine, group)
    for asked in group:
        asked.result().unwrap()
