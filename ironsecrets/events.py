"""What happened to values and to access, for those who keep up with them: rotate, revoke, expire, request, seal.

Events follow from the log and from the time alone. They name things and never hold a value.
"""

from collections.abc import Iterable
from typing import Literal

import attrs
from returns.result import Result

from ironsecrets.access_requests import ApproveRequest, DeclineRequest, RequestAccess
from ironsecrets.agents import Remove, Suspend
from ironsecrets.audit import AuditEntry, decode_entry
from ironsecrets.frozen import evolve
from ironsecrets.grants import BreakGlass, Revoke, RevokeAgent, RevokeAll
from ironsecrets.identifiers import AccessRequestId, AgentId, Environment, GrantId, LeaseId, SecretName
from ironsecrets.kill_switch import Seal, Unseal
from ironsecrets.leases import Lease, RevokeLease
from ironsecrets.refusals import APPLIED
from ironsecrets.removal import Delete, Erase
from ironsecrets.replaying import Divergence, step
from ironsecrets.rotation import FinishRotation
from ironsecrets.secrets import Put, Rollback
from ironsecrets.state import VaultState
from ironsecrets.suspension import newly_suspended

Kind = Literal[
    "rotate",
    "revoke",
    "expire",
    "request",
    "propose",
    "approve",
    "decline",
    "break-glass",
    "suspend",
    "seal",
    "unseal",
]
LOUD = frozenset({"break-glass", "suspend", "seal", "unseal"})
"""The kinds that somebody should look at now."""


@attrs.frozen(kw_only=True)
class Event:
    """Something that happened. ``leases`` are those that it ended.

    ``rotate``: another version of ``name`` is current now. ``revoke``: access ended before its time, for what is
    named. ``expire``: the time of one lease is over. ``request``: an agent asks for access. ``propose``: one operator
    of two agrees; ``approve``, ``decline``: a request is settled. ``break-glass``: an emergency grant was made.
    ``suspend``: an agent was suspended, by itself, for being refused too often. ``seal``, ``unseal``: the kill switch.

    ``at`` is in microseconds since the Unix epoch; ``seq`` is the entry it follows from (``expire`` has none).
    """

    kind: Kind
    at: int
    seq: int | None = None
    name: SecretName | None = None
    environment: Environment | None = None
    version: int | None = None
    agent: AgentId | None = None
    grant: GrantId | None = None
    leases: tuple[LeaseId, ...] = ()
    access_request: AccessRequestId | None = None
    reason: str | None = None


def after_entry(before: VaultState, entry: AuditEntry, after: VaultState) -> Event | None:
    """What an entry means for those who use values; None for most."""
    if entry.verdict != APPLIED:
        agent = AgentId(entry.principal.id)
        suspended = entry.principal.type == "agent" and newly_suspended(before.agents, after.agents, agent)
        return _ended("suspend", before, entry, after, agent=agent) if suspended else None
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
            return _ended("revoke", before, entry, after, agent=agent, grant=grant)
        case RevokeLease(lease=lease):
            return _ended("revoke", before, entry, after, agent=before.leases.by_id[lease].agent)
        case RevokeAgent(agent=agent) | Suspend(agent=agent) | Remove(agent=agent):
            return _ended("revoke", before, entry, after, agent=agent)
        case RevokeAll():
            return _ended("revoke", before, entry, after)
        case Seal(reason=reason):
            return _ended("seal", before, entry, after, reason=reason)
        case Unseal():
            return Event(kind="unseal", at=entry.at, seq=entry.seq)
        case BreakGlass(agent=agent, environment=where, grant=grant, reason=reason):
            return Event(
                kind="break-glass",
                at=entry.at,
                seq=entry.seq,
                agent=agent,
                environment=where,
                grant=grant,
                reason=reason,
            )
        case RequestAccess() | ApproveRequest() | DeclineRequest():
            return _about_request(before, entry, after, entry.command)
        case _:
            return None


def _about_request(
    before: VaultState, entry: AuditEntry, after: VaultState, command: RequestAccess | ApproveRequest | DeclineRequest
) -> Event:
    key = command.access_request
    still = after.oversight.access_requests.by_id.get(key)
    request = still or before.oversight.access_requests.by_id[key]
    about = evolve(
        Event(kind="request", at=entry.at),
        access_request=key,
        agent=request.agent,
        environment=request.environment,
        name=request.name,
        reason=request.reason,
        seq=entry.seq,
    )
    match command:
        case ApproveRequest(grant=grant) if still is None:
            return evolve(about, kind="approve", grant=grant)
        case ApproveRequest():
            return evolve(about, kind="propose")
        case DeclineRequest(reason=reason):
            return evolve(about, kind="decline", reason=reason)
        case _:
            return about


def _open(state: VaultState, at: int) -> Iterable[Lease]:
    return (one for one in state.leases.by_id.values() if at < one.expires_at and one.grant in state.grants.by_id)


def _ended(
    kind: Kind,
    before: VaultState,
    entry: AuditEntry,
    after: VaultState,
    *,
    agent: AgentId | None = None,
    grant: GrantId | None = None,
    reason: str | None = None,
) -> Event:
    left = {one.id for one in _open(after, entry.at)}
    ended = tuple(sorted(one.id for one in _open(before, entry.at) if one.id not in left))
    return Event(kind=kind, at=entry.at, seq=entry.seq, agent=agent, grant=grant, leases=ended, reason=reason)


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
    return evolve(follower, time=until), tuple(expired(follower.state, follower.time, until))


def followed(follower: Follower, raw: bytes) -> Result[Followed, Divergence]:
    """What one more entry, and the time up to it, have brought. In whatever portions a log is followed, the events
    are the same."""

    def told(after: VaultState) -> Followed:
        moved, ended = passed(follower, after.last_at)
        event = after_entry(follower.state, decode_entry(raw).unwrap(), after)
        return evolve(moved, state=after), ended if event is None else (*ended, event)

    return step(follower.state, raw).map(told)
