"""Access requests: an agent asks for what it may not lease, with a reason; operators approve or decline.

Approving makes a grant for exactly the name that was asked for, under the conditions that the operator sets. With
the rule of two, the first approval proposes conditions and the second, by another operator, agrees to just those.
Whether a secret of that name exists is never looked at, so asking says nothing about it.
"""

from typing import Annotated, Literal

import attrs
import msgspec
from immutables import Map
from returns.result import Failure, Result, Success

from ironsecrets.agents import Agents, admit
from ironsecrets.conditions import Conditions
from ironsecrets.frozen import evolve
from ironsecrets.grants import Grant, Grants, IssueGrant, decide, issue
from ironsecrets.identifiers import (
    LATEST_TIME,
    AccessRequestId,
    AccessRequestIdField,
    AgentId,
    AgentIdField,
    EnvironmentField,
    GrantIdField,
    Micros,
    PersonName,
    PersonNameField,
    SecretNameField,
    Selector,
    Span,
)
from ironsecrets.metadata import Reason
from ironsecrets.principals import Agent
from ironsecrets.refusals import Refusal

OPEN_LIMIT = 16
"""How many requests of one agent may be open at a time."""

UNKNOWN_REQUEST = Refusal("unknown-request", "there is no such open request; it is approved, declined or expired")
REQUEST_EXPIRED = Refusal("request-expired", "the request has expired; the agent may ask again")
REQUEST_TAKEN = Refusal("request-taken", "that request id is already in use")
ALREADY_REQUESTED = Refusal("already-requested", "the agent has an open request for that name already")
ALREADY_GRANTED = Refusal("already-granted", "the agent may lease that name already")
TOO_MANY_REQUESTS = Refusal("too-many-requests", "the agent has 16 open requests; wait until some are settled")
ALREADY_APPROVED = Refusal("already-approved", "you approved that request; another operator must agree")
CONDITIONS_DIFFER = Refusal(
    "conditions-differ", "another operator proposed other conditions; agree to those, or decline the request"
)


@attrs.frozen(kw_only=True)
class AccessRequest:
    """A request that is not settled. With approvals, ``conditions`` are what was proposed."""

    agent: AgentIdField
    approvals: tuple[PersonNameField, ...] = ()
    conditions: Conditions | None = None
    environment: EnvironmentField
    expires_at: Micros
    id: AccessRequestIdField
    name: SecretNameField
    reason: Reason
    requested_at: Micros

    def open(self, at: int) -> bool:
        """Whether it can still be approved at ``at``."""
        return at < self.expires_at


@attrs.frozen
class AccessRequests:
    """Requests that are not settled: by id, and each agent's in the order of their ids."""

    by_id: Map[AccessRequestId, AccessRequest] = Map()
    by_agent: Map[AgentId, tuple[AccessRequestId, ...]] = Map()

    def of(self, agent: AgentId) -> tuple[AccessRequest, ...]:
        """The requests of one agent."""
        return tuple(self.by_id[one] for one in self.by_agent.get(agent, ()))

    def keep(self, request: AccessRequest) -> "AccessRequests":
        """With ``request`` added or replaced."""
        ids = tuple(sorted({*self.by_agent.get(request.agent, ()), request.id}))
        return AccessRequests(self.by_id.set(request.id, request), self.by_agent.set(request.agent, ids))

    def drop(self, request: AccessRequest) -> "AccessRequests":
        """Without ``request``."""
        rest = tuple(one for one in self.by_agent[request.agent] if one != request.id)
        by_agent = self.by_agent.set(request.agent, rest) if rest else self.by_agent.delete(request.agent)
        return AccessRequests(self.by_id.delete(request.id), by_agent)

    def without_agent(self, agent: AgentId) -> "AccessRequests":
        """Without any request of ``agent``."""
        requests = self
        for request in self.of(agent):
            requests = requests.drop(request)
        return requests


@attrs.frozen(kw_only=True)
class RequestPolicy:
    """How many operators must agree (1 or 2), and how long a request stays open, in microseconds."""

    approvals: Annotated[int, msgspec.Meta(ge=1, le=2)]
    lifetime: Span


DEFAULT_REQUEST_POLICY = RequestPolicy(approvals=1, lifetime=86_400_000_000)
"""One operator; a day."""


@attrs.frozen(kw_only=True)
class RequestAccess:
    """An agent asks to be granted a name, and says why."""

    access_request: AccessRequestIdField
    environment: EnvironmentField
    name: SecretNameField
    reason: Reason
    type: Literal["request-access"] = "request-access"


@attrs.frozen(kw_only=True)
class ApproveRequest:
    """An operator agrees to a request under ``conditions``; where that suffices, ``grant`` is made."""

    access_request: AccessRequestIdField
    conditions: Conditions
    grant: GrantIdField
    type: Literal["approve-request"] = "approve-request"


@attrs.frozen(kw_only=True)
class DeclineRequest:
    """An operator ends a request without a grant."""

    access_request: AccessRequestIdField
    reason: Reason | None = None
    type: Literal["decline-request"] = "decline-request"


@attrs.frozen(kw_only=True)
class SetRequestPolicy:
    """How requests are settled from now on."""

    policy: RequestPolicy
    type: Literal["set-request-policy"] = "set-request-policy"


@attrs.frozen(kw_only=True)
class Asking:
    """The parts of the state that access requests depend on."""

    agents: Agents
    grants: Grants
    policy: RequestPolicy
    requests: AccessRequests


def request_access(asking: Asking, at: int, agent: Agent, command: RequestAccess) -> Result[AccessRequests, Refusal]:
    """Refusals: those of :func:`ironsecrets.agents.admit`, ``request-taken``, ``already-granted``,
    ``already-requested``, ``too-many-requests``."""
    record = admit(asking.agents, at, agent)
    if isinstance(record, Refusal):
        return Failure(record)
    requests = asking.requests
    if command.access_request in requests.by_id:
        return Failure(REQUEST_TAKEN)
    wanted = (command.environment, command.name)
    granted = decide(asking.grants, at, agent=agent, environment=command.environment, name=command.name, ttl=None)
    if isinstance(granted, Grant):
        return Failure(ALREADY_GRANTED)
    standing = requests
    for one in requests.of(agent.id):
        if not one.open(at):
            standing = standing.drop(one)
        elif (one.environment, one.name) == wanted:
            return Failure(ALREADY_REQUESTED)
    if len(standing.of(agent.id)) >= OPEN_LIMIT:
        return Failure(TOO_MANY_REQUESTS)
    return Success(
        standing.keep(
            AccessRequest(
                agent=agent.id,
                environment=command.environment,
                expires_at=min(at + asking.policy.lifetime, LATEST_TIME),
                id=command.access_request,
                name=command.name,
                reason=command.reason,
                requested_at=at,
            )
        )
    )


def approve(
    asking: Asking, at: int, by: PersonName, command: ApproveRequest
) -> Result[tuple[AccessRequests, Grants], Refusal]:
    """The requests and grants after it.

    Refusals: ``unknown-request``, ``request-expired``, ``already-approved``, ``conditions-differ``, and those of
    :func:`ironsecrets.grants.issue`.
    """
    request = asking.requests.by_id.get(command.access_request)
    if request is None:
        return Failure(UNKNOWN_REQUEST)
    if not request.open(at):
        return Failure(REQUEST_EXPIRED)
    if by in request.approvals:
        return Failure(ALREADY_APPROVED)
    if request.conditions is not None and request.conditions != command.conditions:
        return Failure(CONDITIONS_DIFFER)
    approvals = (*request.approvals, by)

    def agreed(grants: Grants) -> tuple[AccessRequests, Grants]:
        if len(approvals) >= asking.policy.approvals:
            return asking.requests.drop(request), grants
        proposed = evolve(request, approvals=approvals, conditions=command.conditions)
        return asking.requests.keep(proposed), asking.grants

    return issue(
        asking.grants,
        at,
        IssueGrant(
            agent=request.agent,
            conditions=command.conditions,
            environment=request.environment,
            grant=command.grant,
            selector=Selector(request.name),
        ),
    ).map(agreed)


def decline(requests: AccessRequests, command: DeclineRequest) -> Result[AccessRequests, Refusal]:
    """Refusals: ``unknown-request``."""
    request = requests.by_id.get(command.access_request)
    return Failure(UNKNOWN_REQUEST) if request is None else Success(requests.drop(request))
