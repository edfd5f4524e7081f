"""Grants: who may lease what; the authorisation decision.

A grant permits one agent to lease the secrets that one selector covers, in one environment, under conditions
(:mod:`ironsecrets.conditions`), until it is revoked. Grants are found by (agent, environment, selector),
so a decision costs the depth of the name, however many grants there are.
"""

from typing import Literal

import attrs
from immutables import Map
from returns.result import Failure, Result, Success

from ironsecrets.conditions import Conditions, check
from ironsecrets.frozen import evolve
from ironsecrets.identifiers import (
    AgentId,
    AgentIdField,
    Environment,
    EnvironmentField,
    GrantId,
    GrantIdField,
    Micros,
    SecretName,
    Selector,
    SelectorField,
    Size,
    selectors_for,
)
from ironsecrets.metadata import Reason
from ironsecrets.principals import Agent
from ironsecrets.rates import Tat, conforms, counted
from ironsecrets.refusals import Refusal

PRUNE_FLOOR = 64

NO_GRANT = Refusal("no-grant", "no grant lets the agent lease that name in that environment")
GRANT_EXPIRED = Refusal("grant-expired", "the agent's grant for that name has expired")
GRANT_USED_UP = Refusal("grant-used-up", "the agent's grant for that name has no uses left")
TTL_TOO_LONG = Refusal("ttl-too-long", "that is longer than the grant allows at a time")
GRANT_NOT_YET = Refusal("grant-not-yet", "the agent's grant for that name has not begun")
OUTSIDE_WINDOW = Refusal("outside-window", "the agent's grant for that name is for other hours")
PERMISSION_MISSING = Refusal("permission-missing", "the grant asks for a permission that the agent's token lacks")
RATE_LIMITED = Refusal("rate-limited", "the grant's rate is used up for now; try again later")
BREAK_GLASS_TOO_LONG = Refusal("break-glass-too-long", "a break-glass grant ends within an hour; say when")
GRANT_TAKEN = Refusal("grant-taken", "that grant id is already in use")
UNKNOWN_GRANT = Refusal("unknown-grant", "there is no such grant; it may be revoked or expired already")

GLASS_LIMIT = 3_600_000_000
"""A break-glass grant ends within an hour."""

_REACHED: dict[Refusal, int] = {
    refusal: rank
    for rank, refusal in enumerate(
        (
            NO_GRANT,
            GRANT_EXPIRED,
            GRANT_USED_UP,
            GRANT_NOT_YET,
            OUTSIDE_WINDOW,
            PERMISSION_MISSING,
            TTL_TOO_LONG,
            RATE_LIMITED,
        )
    )
}


@attrs.frozen(kw_only=True)
class Grant:
    """Permission of ``agent`` for ``selector`` in ``environment``. Times in microseconds.

    ``used`` counts its leases, ``tat`` is the theoretical arrival time of its rate, and ``reason`` says why the
    glass was broken, where it was.
    """

    agent: AgentIdField
    conditions: Conditions
    created_at: Micros
    environment: EnvironmentField
    id: GrantIdField
    reason: Reason | None = None
    selector: SelectorField
    tat: Tat = 0
    used: Size = 0

    def live(self, at: int) -> bool:
        """Whether it has not expired at ``at``. The moment of expiry itself is past the end."""
        return self.conditions.live(at)


Scope = tuple[AgentId, Environment, Selector]


@attrs.frozen
class Held:
    """The ids of what one agent holds. At ``prune_at`` ids the dead ones are dropped, so cost stays amortised."""

    ids: "Map[str, bool]" = Map()
    prune_at: int = PRUNE_FLOOR


@attrs.frozen
class Grants:
    """All grants that are not revoked: by id, by scope and by agent."""

    by_id: Map[GrantId, Grant] = Map()
    by_scope: Map[Scope, tuple[GrantId, ...]] = Map()
    by_agent: Map[AgentId, Held] = Map()

    def keep(self, grant: Grant) -> "Grants":
        """With ``grant`` added."""
        scope = (grant.agent, grant.environment, grant.selector)
        held = self.by_agent.get(grant.agent, Held())
        by_id = self.by_id.set(grant.id, grant)
        ids = sorted((*self.by_scope.get(scope, ()), grant.id), key=lambda g: (by_id[g].created_at, g))
        return Grants(
            by_id,
            self.by_scope.set(scope, tuple(ids)),
            self.by_agent.set(grant.agent, evolve(held, ids=held.ids.set(grant.id, True))),
        )

    def drop(self, grant: Grant) -> "Grants":
        """Without ``grant``."""
        scope = (grant.agent, grant.environment, grant.selector)
        rest = tuple(other for other in self.by_scope[scope] if other != grant.id)
        held = self.by_agent[grant.agent]
        ids = held.ids.delete(grant.id)
        return Grants(
            self.by_id.delete(grant.id),
            self.by_scope.set(scope, rest) if rest else self.by_scope.delete(scope),
            self.by_agent.set(grant.agent, evolve(held, ids=ids)) if ids else self.by_agent.delete(grant.agent),
        )

    def pruned(self, agent: AgentId, at: int) -> "Grants":
        """Without the expired grants of ``agent``, once it holds many."""
        held = self.by_agent.get(agent, Held())
        if len(held.ids) < held.prune_at:
            return self
        grants = self
        for grant_id in sorted(held.ids):
            grant = self.by_id[GrantId(grant_id)]
            if not grant.live(at):
                grants = grants.drop(grant)
        left = grants.by_agent.get(agent, Held())
        prune_at = max(PRUNE_FLOOR, 2 * len(left.ids))
        return evolve(grants, by_agent=grants.by_agent.set(agent, evolve(left, prune_at=prune_at)))


@attrs.frozen(kw_only=True)
class IssueGrant:
    """Grant ``agent`` the secrets that ``selector`` covers, under ``conditions``."""

    agent: AgentIdField
    conditions: Conditions
    environment: EnvironmentField
    grant: GrantIdField
    selector: SelectorField
    type: Literal["grant"] = "grant"


@attrs.frozen(kw_only=True)
class BreakGlass:
    """A grant in an emergency: short, with a reason, and told to everybody who listens."""

    agent: AgentIdField
    conditions: Conditions
    environment: EnvironmentField
    grant: GrantIdField
    reason: Reason
    selector: SelectorField
    type: Literal["break-glass"] = "break-glass"


@attrs.frozen(kw_only=True)
class Revoke:
    """End one grant and every lease under it."""

    grant: GrantIdField
    type: Literal["revoke"] = "revoke"


@attrs.frozen(kw_only=True)
class RevokeAgent:
    """End every grant and lease of one agent."""

    agent: AgentIdField
    type: Literal["revoke-agent"] = "revoke-agent"


@attrs.frozen(kw_only=True)
class RevokeAll:
    """End every grant and every lease."""

    type: Literal["revoke-all"] = "revoke-all"


def issue(grants: Grants, at: int, command: IssueGrant | BreakGlass) -> Result[Grants, Refusal]:
    """Refusals: ``grant-taken``, ``bad-grant``, ``bad-window``, ``bad-zone``, ``break-glass-too-long``."""
    if command.grant in grants.by_id:
        return Failure(GRANT_TAKEN)
    reason = None
    if isinstance(command, BreakGlass):
        reason, ends = command.reason, command.conditions.expires_at
        if ends is None or ends - at > GLASS_LIMIT:
            return Failure(BREAK_GLASS_TOO_LONG)
    return check(command.conditions, at).map(
        lambda conditions: grants.pruned(command.agent, at).keep(
            Grant(
                agent=command.agent,
                conditions=conditions,
                created_at=at,
                environment=command.environment,
                id=command.grant,
                reason=reason,
                selector=command.selector,
            )
        )
    )


def revoke(grants: Grants, command: Revoke) -> Result[Grants, Refusal]:
    """Refusals: ``unknown-grant``."""
    grant = grants.by_id.get(command.grant)
    return Failure(UNKNOWN_GRANT) if grant is None else Success(grants.drop(grant))


def revoke_agent(grants: Grants, agent: AgentId) -> Grants:
    """Without any grant of ``agent``."""
    for grant_id in sorted(grants.by_agent.get(agent, Held()).ids):
        grants = grants.drop(grants.by_id[GrantId(grant_id)])
    return evolve(grants, by_agent=grants.by_agent.delete(agent)) if agent in grants.by_agent else grants


def standing(grant: Grant, at: int, agent: Agent, ttl: int | None) -> Refusal | None:
    """What keeps ``agent`` from a lease of ``ttl`` under ``grant`` at ``at``; None where nothing does.

    Refusals: ``grant-expired``, ``grant-used-up``, and from ``grant-not-yet`` on those of :func:`present`,
    ``ttl-too-long``, ``rate-limited``.
    """
    conditions = grant.conditions
    if not conditions.live(at):
        return GRANT_EXPIRED
    if conditions.uses is not None and grant.used >= conditions.uses:
        return GRANT_USED_UP
    absent = present(grant, at, agent)
    if absent is not None:
        return absent
    if ttl is not None and ttl > conditions.maximum_ttl:
        return TTL_TOO_LONG
    return None if conforms(conditions.rate, grant.tat, at) else RATE_LIMITED


def present(grant: Grant, at: int, agent: Agent) -> Refusal | None:
    """What must hold at every use of a lease too. Refusals: ``grant-not-yet``, ``outside-window``,
    ``permission-missing``."""
    conditions = grant.conditions
    if conditions.not_before is not None and at < conditions.not_before:
        return GRANT_NOT_YET
    if not conditions.open(at):
        return OUTSIDE_WINDOW
    return None if agent.may(conditions.permission) else PERMISSION_MISSING


def decide(
    grants: Grants, at: int, *, agent: Agent, environment: Environment, name: SecretName, ttl: int | None
) -> Grant | Refusal:
    """The grant under which ``agent`` may lease ``name`` for ``ttl`` microseconds (None: the grant's default).

    The most specific selector wins, then the oldest grant, among those whose conditions hold. Where none does, the
    refusal is that of the grant which came furthest. The answer never depends on whether a secret of that name
    exists. Refusals: ``no-grant``, and those of :func:`standing`.
    """
    refusal = NO_GRANT
    for selector in selectors_for(name):
        for grant_id in grants.by_scope.get((agent.id, environment, selector), ()):
            grant = grants.by_id[grant_id]
            against = standing(grant, at, agent, ttl)
            if against is None:
                return grant
            refusal = max(refusal, against, key=_REACHED.__getitem__)
    return refusal


def use(grants: Grants, grant: Grant, at: int) -> Grants:
    """With one use of ``grant`` counted."""
    used = evolve(grant, used=grant.used + 1, tat=counted(grant.conditions.rate, grant.tat, at))
    return Grants(grants.by_id.set(grant.id, used), grants.by_scope, grants.by_agent)
