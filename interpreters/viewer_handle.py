"""Handles: what a principal can do, as methods that raise where ``execute`` gives ``Failure``.

A handle is bound to its principal: an agent's handle cannot name another agent, and nothing a caller passes can
change who asks.
"""

from collections.abc import Sequence

from interpreters.conversions import accepted
from interpreters.engine import Engine
from interpreters.outcome import Ask, Outcome
from ironsecrets import identifiers as ids
from ironsecrets.access_requests import AccessRequest
from ironsecrets.agents import AgentRecord
from ironsecrets.grants import Grant
from ironsecrets.leases import Lease
from ironsecrets.masking import mask
from ironsecrets.principals import Principal, Viewer
from ironsecrets.reading import ListEntries, MaskValue
from ironsecrets.secrets import Secret
from ironsecrets.sensitive import Sensitive


class Handle:
    """A principal at an opened vault."""

    def __init__(self, engine: Engine, principal: Principal) -> None:
        self._engine = engine
        self._principal = principal

    @property
    def principal(self) -> Principal:
        """Who asks."""
        return self._principal

    def _ask(self, ask: Ask, about: str = "") -> Outcome:
        return accepted(self._engine.execute(self._principal, ask), about)

    def _where(self, name: str, environment: str) -> tuple[ids.SecretName, ids.Environment]:
        return accepted(ids.parse_secret_name(name)), accepted(ids.parse_environment(environment))


class ViewerHandle(Handle):
    """May list, and see masked values. Every look is an entry in the log."""

    def masked(self, name: str, *, environment: str, version: int | None = None) -> str:
        """The value, masked: at most a provider's prefix and the last 4 characters."""
        where = self._where(name, environment)
        asked = MaskValue(name=where[0], environment=where[1], version=version)
        value = self._ask(asked, name).disclosed
        with value or Sensitive(b"") as shown:
            return mask(shown.view())

    def secrets(self, *, environment: str | None = None) -> Sequence[Secret]:
        """Secrets that are not deleted, by environment and name; ``environment`` None means all."""
        within = None if environment is None else accepted(ids.parse_environment(environment))
        self._ask(ListEntries(what="secrets", environment=within))
        found = (
            secret
            for secret in self._engine.state.secrets.by_id.values()
            if secret.deleted_at is None and within in (None, secret.environment)
        )
        return sorted(found, key=lambda secret: (secret.environment, secret.name))

    def history(self, name: str, *, environment: str) -> Secret:
        """A secret with all its versions, labels and metadata."""
        where = self._where(name, environment)
        self._ask(ListEntries(what="history", name=where[0], environment=where[1]), name)
        return accepted(self._engine.state.secrets.live(where[1], where[0]), name)

    def agents(self) -> Sequence[AgentRecord]:
        """Every agent, by id."""
        self._ask(ListEntries(what="agents"))
        return sorted(self._engine.state.agents.by_id.values(), key=lambda agent: agent.id)

    def grants(self) -> Sequence[Grant]:
        """Every grant that is neither revoked nor expired, by agent and selector."""
        self._ask(ListEntries(what="grants"))
        now = self._engine.now()
        live = (grant for grant in self._engine.state.grants.by_id.values() if grant.live(now))
        return sorted(live, key=lambda grant: (grant.agent, grant.environment, grant.selector, grant.id))

    def leases(self) -> Sequence[Lease]:
        """Every lease that is live, by agent and name."""
        self._ask(ListEntries(what="leases"))
        state, now = self._engine.state, self._engine.now()
        live = (
            lease
            for lease in state.leases.by_id.values()
            if now < lease.expires_at and lease.grant in state.grants.by_id
        )
        return sorted(live, key=lambda lease: (lease.agent, lease.environment, lease.name, lease.id))

    def requests(self) -> Sequence[AccessRequest]:
        """Every access request that is open, the oldest first."""
        self._ask(ListEntries(what="requests"))
        now = self._engine.now()
        still = (one for one in self._engine.state.oversight.access_requests.by_id.values() if one.open(now))
        return sorted(still, key=lambda one: (one.requested_at, one.id))


def viewer_handle(engine: Engine, name: str) -> ViewerHandle:
    """The handle of a viewer of this name."""
    return ViewerHandle(engine, Viewer(accepted(ids.parse_person_name(name))))
