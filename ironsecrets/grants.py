"""Grants: who may lease what; the authorisation decision.

A grant permits one agent to lease the secrets that one selector covers, in one environment, for at most so
long at a time, until it expires, is used up or is revoked. Grants are found by (agent, environment, selector),
so a decision costs the depth of the name, however many grants there are.
"""

from typing import Annotated, Literal

import attrs
import msgspec
from immutables import Map
from returns.result import Failure, Result, Success

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
    Span,
    selectors_for,
)
from ironsecrets.refusals import Refusal

PRUNE_FLOOR = 64

NO_GRANT = Refusal("no-grant", "no grant lets the agent lease that name in that environment")
GRANT_EXPIRED = Refusal("grant-expired", "the agent's grant for that name has expired")
GRANT_USED_UP = Refusal("grant-used-up", "the agent's grant for that name has no uses left")
TTL_TOO_LONG = Refusal("ttl-too-long", "that is longer than the grant allows at a time")
GRANT_TAKEN = Refusal("grant-taken", "that grant id is already in use")
BAD_GRANT = Refusal("bad-grant", "a grant's default time must not exceed its maximum, and it must expire in the future")
UNKNOWN_GRANT = Refusal("unknown-grant", "there is no such grant; it may be revoked or expired already")

Uses = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]


@attrs.frozen(kw_only=True)
class Grant:
    """Permission of ``agent`` for ``selector`` in ``environment``. Times in microseconds."""

    agent: AgentIdField
    created_at: Micros
    default_ttl: Span
    environment: EnvironmentField
    expires_at: Micros | None
    id: GrantIdField
    maximum_ttl: Span
    selector: SelectorField
    used: Size = 0
    uses: Uses | None

    def live(self, at: int) -> bool:
        """Whether it has not expired at ``at``. The moment of expiry itself is past the end."""
        return self.expires_at is None or at < self.expires_at


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
            self.by_agent.set(grant.agent, attrs.evolve(held, ids=held.ids.set(grant.id, True))),
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
            self.by_agent.set(grant.agent, attrs.evolve(held, ids=ids)) if ids else self.by_agent.delete(grant.agent),
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
        return attrs.evolve(grants, by_agent=grants.by_agent.set(agent, attrs.evolve(left, prune_at=prune_at)))


@attrs.frozen(kw_only=True)
class IssueGrant:
    """Grant ``agent`` the secrets that ``selector`` covers. ``uses`` None means without limit."""

    agent: AgentIdField
    default_ttl: Span
    environment: EnvironmentField
    expires_at: Micros | None = None
    grant: GrantIdField
    maximum_ttl: Span
    selector: SelectorField
    type: Literal["grant"] = "grant"
    uses: Uses | None = None


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


def issue(grants: Grants, at: int, command: IssueGrant) -> Result[Grants, Refusal]:
    """Refusals: ``grant-taken``, ``bad-grant``."""
    if command.grant in grants.by_id:
        return Failure(GRANT_TAKEN)
    past = command.expires_at is not None and command.expires_at <= at
    if command.default_ttl > command.maximum_ttl or past:
        return Failure(BAD_GRANT)
    grant = Grant(
        agent=command.agent,
        created_at=at,
        default_ttl=command.default_ttl,
        environment=command.environment,
        expires_at=command.expires_at,
        id=command.grant,
        maximum_ttl=command.maximum_ttl,
        selector=command.selector,
        uses=command.uses,
    )
    return Success(grants.pruned(command.agent, at).keep(grant))


def revoke(grants: Grants, command: Revoke) -> Result[Grants, Refusal]:
    """Refusals: ``unknown-grant``."""
    grant = grants.by_id.get(command.grant)
    return Failure(UNKNOWN_GRANT) if grant is None else Success(grants.drop(grant))


def revoke_agent(grants: Grants, agent: AgentId) -> Grants:
    """Without any grant of ``agent``."""
    for grant_id in sorted(grants.by_agent.get(agent, Held()).ids):
        grants = grants.drop(grants.by_id[GrantId(grant_id)])
    return attrs.evolve(grants, by_agent=grants.by_agent.delete(agent)) if agent in grants.by_agent else grants


def decide(
    grants: Grants, at: int, *, agent: AgentId, environment: Environment, name: SecretName, ttl: int | None
) -> Result[Grant, Refusal]:
    """The grant under which ``agent`` may lease ``name`` for ``ttl`` microseconds (None: the grant's default).

    The most specific selector wins, then the oldest grant, among those that are live, not used up and long
    enough. The answer never depends on whether a secret of that name exists.
    Refusals: ``no-grant``, ``grant-expired``, ``grant-used-up``, ``ttl-too-long``.
    """
    refusal = NO_GRANT
    for selector in selectors_for(name):
        for grant_id in grants.by_scope.get((agent, environment, selector), ()):
            grant = grants.by_id[grant_id]
            if not grant.live(at):
                refusal = GRANT_EXPIRED if refusal is NO_GRANT else refusal
            elif grant.uses is not None and grant.used >= grant.uses:
                refusal = GRANT_USED_UP if refusal is not TTL_TOO_LONG else refusal
            elif ttl is not None and ttl > grant.maximum_ttl:
                refusal = TTL_TOO_LONG
            else:
                return Success(grant)
    return Failure(refusal)


def use(grants: Grants, grant: Grant) -> Grants:
    """With one use of ``grant`` counted."""
    used = attrs.evolve(grant, used=grant.used + 1)
    return attrs.evolve(grants, by_id=grants.by_id.set(grant.id, used))
