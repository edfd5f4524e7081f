"""What happened to values and leases, for those who keep up with them: rotate, revoke, expire.

Events follow from the log and from the time alone. They name things and never hold a value.
"""

from collections.abc import Iterable
from typing import Literal

import attrs
from returns.result import Result

from ironsecrets.agents import Remove, Suspend
from ironsecrets.audit import AuditEntry, decode_entry
from ironsecrets.grants import Revoke, RevokeAgent, RevokeAll
from ironsecrets.identifiers import AgentId, Environment, GrantId, LeaseId, SecretName
from ironsecrets.leases import Lease, RevokeLease
from ironsecrets.refusals import APPLIED
from ironsecrets.removal import Delete, Erase
from ironsecrets.replay import Divergence, step
from ironsecrets.rotation import FinishRotation
from ironsecrets.secrets import Put, Rollback
from ironsecrets.state import VaultState


@attrs.frozen(kw_only=True)
class Event:
    """``rotate``: another version of ``name`` is current now. ``revoke``: access ended before its time, for
    ``leases`` and for what else is named. ``expire``: the time of one lease is over.

    ``at`` is in microseconds since the Unix epoch; ``seq`` is the entry it follows from (``expire`` has none).
    """

    kind: Literal["rotate", "revoke", "expire"]
    at: int
    seq: int | None = None
    name: SecretName | None = None
    environment: Environment | None = None
    version: int | None = None
    agent: AgentId | None = None
    grant: GrantId | None = None
    leases: tuple[LeaseId, ...] = ()


def after_entry(before: VaultState, entry: AuditEntry, after: VaultState) -> Event | None:
    """What an entry means for those who use values; None for most."""
    if entry.verdict != APPLIED:
        return None
    match entry.command:
        case (
            Put(name=name, environment=where)
            | Rollback(name=name, environment=where)
            | FinishRotation(name=name, environment=where)
        ):
            secret = after.secrets.find(where, name)
            first = before.secrets.find(where, name) is None
            if first or secret is None:
                return None
            return Event(
                kind="rotate", at=entry.at, seq=entry.seq, name=name, environment=where, version=secret.current
            )
        case Delete(name=name, environment=where) | Erase(name=name, environment=where):
            ended = tuple(
                sorted(one.id for one in _open(before, entry.at) if (one.name, one.environment) == (name, where))
            )
            return Event(kind="revoke", at=entry.at, seq=entry.seq, name=name, environment=where, leases=ended)
        case Revoke(grant=grant):
            agent = before.grants.by_id[grant].agent
            return _revoked(before, entry, after, agent=agent, grant=grant)
        case RevokeLease(lease=lease):
            return _revoked(before, entry, after, agent=before.leases.by_id[lease].agent)
        case RevokeAgent(agent=agent) | Suspend(agent=agent) | Remove(agent=agent):
            return _revoked(before, entry, after, agent=agent)
        case RevokeAll():
            return _revoked(before, entry, after)
        case _:
            return None


def _open(state: VaultState, at: int) -> Iterable[Lease]:
    return (one for one in state.leases.by_id.values() if at < one.expires_at and one.grant in state.grants.by_id)


def _revoked(
    before: VaultState,
    entry: AuditEntry,
    after: VaultState,
    *,
    agent: AgentId | None = None,
    grant: GrantId | None = None,
) -> Event:
    left = {one.id for one in _open(after, entry.at)}
    ended = tuple(sorted(one.id for one in _open(before, entry.at) if one.id not in left))
    return Event(kind="revoke", at=entry.at, seq=entry.seq, agent=agent, grant=grant, leases=ended)


def expired(state: VaultState, since: int, until: int) -> list[Event]:
    """The leases that had not been revoked and whose time ended after ``since`` and not after ``until``, the earliest
    first."""
    ended = [one for one in _open(state, since) if one.expires_at <= until]
    return [
        Event(
            kind="expire",
            at=one.expires_at,
            name=one.name,
            environment=one.environment,
            agent=one.agent,
            leases=(one.id,),
        )
        for one in sorted(ended, key=lambda one: (one.expires_at, one.id))
    ]


@attrs.frozen(kw_only=True)
class Follower:
    """Where somebody stands who keeps up with the log: the state so far, and until when expiries were told."""

    state: VaultState
    time: int


Followed = tuple[Follower, tuple[Event, ...]]


def passed(follower: Follower, now: int) -> Followed:
    """What the time alone has ended since."""
    until = max(now, follower.time)
    return attrs.evolve(follower, time=until), tuple(expired(follower.state, follower.time, until))


def followed(follower: Follower, raw: bytes) -> Result[Followed, Divergence]:
    """What one more entry, and the time up to it, have brought. In whatever portions a log is followed, the events
    are the same."""

    def told(after: VaultState) -> Followed:
        moved, ended = passed(follower, after.last_at)
        event = after_entry(follower.state, decode_entry(raw).unwrap(), after)
        return attrs.evolve(moved, state=after), ended if event is None else (*ended, event)

    return step(follower.state, raw).map(told)
