"""An agent's handle: it may lease what it was granted, for itself only."""

from datetime import timedelta

from interpreters.conversions import accepted, micros
from interpreters.engine import Engine
from interpreters.lease_handle import LeaseHandle
from interpreters.viewer_handle import Handle
from ironsecrets.access_requests import RequestAccess
from ironsecrets.drafts import NewAccessRequest, NewLease
from ironsecrets.identifiers import AccessRequestId
from ironsecrets.metadata import parse_reason
from ironsecrets.principals import Agent
from ironsecrets.secrets import Label


class AgentHandle(Handle):
    """An agent: may lease what it was granted, for itself only."""

    def __init__(self, engine: Engine, agent: Agent) -> None:
        super().__init__(engine, agent)
        self._agent = agent

    @property
    def agent(self) -> Agent:
        """Who it is, with what its token says of it."""
        return self._agent

    def lease(
        self, name: str, *, environment: str, ttl: timedelta | None = None, label: Label = "current"
    ) -> LeaseHandle:
        """Lease a secret for ``ttl`` (None: the grant's default). Use it in a ``with``, which releases it.

        ``label="previous"`` leases the version before, for as long as its overlap window lasts (``no-previous``).
        """
        where = self._where(name, environment)
        outcome = self._ask(NewLease(name=where[0], environment=where[1], ttl=micros(ttl), label=label), name)
        return LeaseHandle(self._engine, self._agent, outcome)

    def request_access(self, name: str, *, environment: str, reason: str) -> AccessRequestId:
        """Ask operators for a secret that this agent may not lease, and say why; the request's id.

        Nothing is said of whether a secret of that name exists. Refused: ``already-granted``, ``already-requested``,
        ``too-many-requests``, ``bad-reason``.
        """
        where = self._where(name, environment)
        draft = NewAccessRequest(name=where[0], environment=where[1], reason=accepted(parse_reason(reason)))
        match self._ask(draft, name).command:
            case RequestAccess(access_request=key):
                return key
            case _:
                raise AssertionError
