"""Who could reach what, and who did: the log told by agent, secret and time.

A grant opens a **reach**: this agent could lease this secret under this grant, from when both were there until one
of them ended. Both ends follow from the log; nothing is looked up anywhere else.
"""

from collections.abc import Iterable, Iterator

import attrs
from returns.result import Failure, Result, Success

from ironsecrets.audit import AuditEntry
from ironsecrets.frozen import evolve
from ironsecrets.grants import Grant
from ironsecrets.identifiers import AgentId, Environment, GrantId, SecretId, SecretName, covers
from ironsecrets.leases import OpenLease
from ironsecrets.refusals import APPLIED
from ironsecrets.replaying import Divergence, Replayer
from ironsecrets.state import EMPTY, VaultState

_Lane = tuple[AgentId, Environment, SecretName]


@attrs.frozen(kw_only=True)
class Reach:
    """One agent, one secret, one grant. Times in microseconds; ``until`` None is still open. ``leases`` are those that
    were opened under the grant, ``refused`` how often the agent asked for that name and was refused meanwhile."""

    agent: AgentId
    environment: Environment
    name: SecretName
    grant: GrantId
    since: int
    until: int | None
    ended: str
    leases: tuple[int, ...] = ()
    refused: int = 0

    def held(self, at: int) -> bool:
        """Whether the agent could lease the secret at ``at``, as far as the grant goes."""
        return self.since <= at and (self.until is None or at < self.until)

    def within(self, since: int | None, until: int | None) -> bool:
        """Whether any of it lies in this time."""
        return (until is None or self.since < until) and (since is None or self.until is None or self.until > since)


@attrs.frozen(kw_only=True)
class Attempt:
    """An agent was refused a name: it asked for what no grant gave it then."""

    agent: AgentId
    environment: Environment
    name: SecretName
    at: int
    verdict: str


@attrs.frozen(kw_only=True)
class Account:
    """The whole report: reaches by agent, environment, name and time; attempts in order; the log's end.

    ``untold`` is how many entries came before the first that was looked at: grants and secrets of then are here,
    leases and refusals of then are not.
    """

    reaches: tuple[Reach, ...]
    attempts: tuple[Attempt, ...]
    entries: int
    at: int
    untold: int = 0


@attrs.frozen(kw_only=True)
class Denied:
    """An agent was refused a name ``times`` times while no grant reached it."""

    agent: AgentId
    environment: Environment
    name: SecretName
    times: int
    last: int


def denied(reaches: Iterable[Reach], attempts: Iterable[Attempt]) -> tuple[Denied, ...]:
    """The attempts that fall into no reach, by agent, environment and name."""
    reached: dict[_Lane, list[Reach]] = {}
    for one in reaches:
        reached.setdefault((one.agent, one.environment, one.name), []).append(one)
    outside: dict[_Lane, list[int]] = {}
    for one in attempts:
        lane = (one.agent, one.environment, one.name)
        if not any(reach.held(one.at) for reach in reached.get(lane, ())):
            outside.setdefault(lane, []).append(one.at)
    return tuple(
        Denied(agent=agent, environment=environment, name=name, times=len(times), last=max(times))
        for (agent, environment, name), times in sorted(outside.items())
    )


@attrs.define
class _Life:
    since: int
    until: int | None = None
    ended: str = ""

    def end(self, at: int, how: str) -> None:
        if self.until is None:
            self.until, self.ended = at, how


@attrs.define
class _Ledger:
    grants: dict[GrantId, tuple[Grant, _Life]] = attrs.field(factory=dict[GrantId, "tuple[Grant, _Life]"])
    secrets: dict[SecretId, tuple[Environment, SecretName, list[_Life]]] = attrs.field(
        factory=dict[SecretId, "tuple[Environment, SecretName, list[_Life]]"]
    )
    leases: dict[tuple[GrantId, SecretId], list[int]] = attrs.field(factory=dict[tuple[GrantId, SecretId], "list[int]"])
    attempts: list[Attempt] = attrs.field(factory=list[Attempt])

    def begin(self, state: VaultState) -> None:
        """What was there before the first entry: since when, the state itself says."""
        for grant in state.grants.by_id.values():
            self.grants[grant.id] = (grant, _Life(grant.created_at))
        for secret in state.secrets.by_id.values():
            life = _Life(secret.created_at)
            if secret.deleted_at is not None:
                life.end(secret.deleted_at, "delete")
            self.secrets[secret.id] = (secret.environment, secret.name, [life])

    def take(self, before: VaultState, entry: AuditEntry, after: VaultState) -> None:
        at, command = entry.at, entry.command
        if after.grants.by_scope is not before.grants.by_scope:
            self._grants(before, after, at, command.type)
        if after.secrets is not before.secrets:
            self._secrets(before, after, at, command.type)
        if not isinstance(command, OpenLease):
            return
        if entry.verdict == APPLIED:
            lease = after.leases.by_id[command.lease]
            self.leases.setdefault((lease.grant, lease.secret), []).append(at)
        else:
            agent = AgentId(entry.principal.id)
            self.attempts.append(
                Attempt(agent=agent, environment=command.environment, name=command.name, at=at, verdict=entry.verdict)
            )

    def _grants(self, before: VaultState, after: VaultState, at: int, how: str) -> None:
        old, new = before.grants.by_id, after.grants.by_id
        if len(new) > len(old) or how in ("grant", "break-glass", "approve-request"):
            for one in new:
                if one not in self.grants:
                    self.grants[one] = (new[one], _Life(at))
        if len(new) < len(old) or how in ("grant", "break-glass", "approve-request"):
            for one in old:
                if one not in new:
                    grant, life = self.grants[one]
                    expired = grant.conditions.expires_at
                    if expired is not None and expired <= at:
                        life.end(expired, "expired")
                    else:
                        life.end(at, how)

    def _secrets(self, before: VaultState, after: VaultState, at: int, how: str) -> None:
        for one in after.secrets.by_id.values():
            was = before.secrets.by_id.get(one.id)
            if was is one:
                continue
            _, _, lives = self.secrets.setdefault(one.id, (one.environment, one.name, []))
            if one.deleted_at is not None and lives:
                lives[-1].end(at, how)
            elif one.deleted_at is None and (not lives or lives[-1].until is not None):
                lives.append(_Life(at))
        if len(after.secrets.by_id) < len(before.secrets.by_id):
            for secret in before.secrets.by_id:
                if secret not in after.secrets.by_id:
                    self.secrets[secret][2][-1].end(at, how)

    def reaches(self, now: int) -> Iterator[Reach]:
        refused: dict[_Lane, list[int]] = {}
        for one in self.attempts:
            refused.setdefault((one.agent, one.environment, one.name), []).append(one.at)
        for grant, life in self.grants.values():
            expires = grant.conditions.expires_at
            if expires is not None and expires <= now:
                life.end(expires, "expired")
            for secret, (environment, name, lives) in self.secrets.items():
                if environment != grant.environment or not covers(grant.selector, name):
                    continue
                for lived in lives:
                    since = max(life.since, lived.since)
                    ends = sorted((one.until, one.ended) for one in (life, lived) if one.until is not None)
                    until, ended = ends[0] if ends else (None, "")
                    if until is not None and until <= since:
                        continue
                    inside = [
                        at
                        for at in self.leases.get((grant.id, secret), [])
                        if at >= since and (until is None or at <= until)
                    ]
                    reach = Reach(
                        agent=grant.agent,
                        environment=environment,
                        name=name,
                        grant=grant.id,
                        since=since,
                        until=until,
                        ended=ended,
                        leases=tuple(inside),
                    )
                    missed = refused.get((grant.agent, environment, name), ())
                    yield evolve(reach, refused=sum(reach.held(at) for at in missed))


def account(entries: Iterable[bytes], state: VaultState = EMPTY) -> Result[Account, Divergence]:
    """What the log says of who could reach what, as it replays; or the first divergence."""
    ledger, replayer, last = _Ledger(), Replayer(state), state
    ledger.begin(state)
    for raw in entries:
        taken = replayer.take(raw)
        if isinstance(taken, Divergence):
            return Failure(taken)
        now = replayer.current
        ledger.take(last, taken, now)
        last = now
    after = replayer.state()
    reaches = sorted(
        ledger.reaches(after.last_at), key=lambda one: (one.agent, one.environment, one.name, one.since, one.grant)
    )
    return Success(
        Account(
            reaches=tuple(reaches),
            attempts=tuple(ledger.attempts),
            entries=after.log.size,
            at=after.last_at,
            untold=state.log.size,
        )
    )
