"""Large vaults in minutes: many commands in one commit, through the very code that shares commits among threads."""

import os
from collections.abc import Iterator
from pathlib import Path

import ironsecrets
from interpreters.committing import prepared, serve
from interpreters.store import Batch, StoredEntry
from interpreters.vault import Vault
from interpreters.waiting import TOGETHER, Asked
from ironsecrets.at_rest import encode_head, request_tag, seal_entry
from ironsecrets.audit import decide
from ironsecrets.drafts import Draft, NewVersion
from ironsecrets.identifiers import AgentId, Environment, LeaseId, PersonName, RequestId, SecretName
from ironsecrets.leases import OpenLease
from ironsecrets.principals import Agent, Operator
from ironsecrets.sensitive import Sensitive
from ironsecrets.vault import Request
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


def leased(vault: Vault, entries: int) -> None:
    """So many leases more, each for a moment, decided and recorded as always; their values are revealed to nobody."""
    engine, agent, state = vault._engine, Agent(AgentId("agent_one")), vault.state
    names = [secret.name for secret in state.secrets.by_id.values()][:1000]
    keys, header, at = engine.keys, engine.header, engine.now()
    for start in range(0, entries, 1000):
        stored: list[StoredEntry] = []
        size = state.log.size
        for number in range(start, min(entries, start + 1000)):
            at += 1000
            lease = OpenLease(
                environment=Environment(ENVIRONMENT),
                lease=LeaseId("ls_" + os.urandom(16).hex()),
                name=names[number % len(names)],
                ttl=1000,
            )
            request = Request(at=at, command=lease, id=RequestId("rq_" + os.urandom(16).hex()), principal=agent)
            decision = decide(state, request)
            assert decision.refusal is None
            sealed = seal_entry(keys, header.vault, state.log.size, decision.entry, os.urandom(24))
            stored.append(StoredEntry(tag=request_tag(keys, request.id), sealed=sealed))
            state = decision.state
        head = encode_head(keys, header.vault, state.log)
        assert engine.store.commit(Batch(expected_size=size, entries=tuple(stored), head=head))
        engine.advance(state, head)
    vault.snapshot()


def _served(vault: Vault, group: list[Asked]) -> None:
    with vault._engine.lock:
        serve(vault._engine, group)
    for asked in group:
        asked.result().unwrap()
