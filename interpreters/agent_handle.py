"""An agent's handle: it may lease what it was granted, for itself only; and what clients take in a key's stead.

What a client's package is needed for is imported when it is asked for.
"""

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Literal, overload

from interpreters.conversions import accepted, micros
from interpreters.engine import Engine
from interpreters.lease_handle import LeaseHandle
from interpreters.outcome import Outcome
from interpreters.supply import AsyncKeyProvider, KeyProvider, Supply
from interpreters.viewer_handle import Handle
from ironsecrets.access_requests import RequestAccess
from ironsecrets.agents import admit
from ironsecrets.delivery import Delivery, parse_recipient
from ironsecrets.drafts import NewAccessRequest, NewLease
from ironsecrets.errors import Refused, VaultError
from ironsecrets.identifiers import AccessRequestId, Digest
from ironsecrets.kill_switch import VAULT_SEALED
from ironsecrets.leases import OpenLease, Release
from ironsecrets.metadata import parse_reason
from ironsecrets.principals import Agent
from ironsecrets.refusals import decided
from ironsecrets.secrets import Label
from ironsecrets.sensitive import Sensitive

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings

    from interpreters.httpx_auth import LeasedAuth
    from interpreters.requests_auth import LeasedRequestsAuth
    from interpreters.settings_source import VaultSettingsSource
    from interpreters.web import LeaseFor


class AgentHandle(Handle):
    """An agent: may lease what it was granted, for itself only."""

    def __init__(self, engine: Engine, agent: Agent) -> None:
        super().__init__(engine, agent)
        self._agent = agent

    @property
    def agent(self) -> Agent:
        """Who it is, with what its token says of it."""
        return self._agent

    def admit(self) -> None:
        """Raise :class:`ironsecrets.Refused` unless this agent may ask at all now: its token is the valid one and has
        not expired, and neither it nor the vault is closed to it. Makes no entry; each use decides it again.
        """
        engine = self._engine
        engine.check_usable()
        with engine.lock:
            engine.catch_up()
            state, now = engine.state, engine.now()
        if state.sealed is not None:
            raise Refused(VAULT_SEALED, self._agent.id)
        accepted(decided(admit(state.agents, now, self._agent)), self._agent.id)

    def lease(
        self, name: str, *, environment: str, ttl: timedelta | None = None, label: Label = "current"
    ) -> LeaseHandle:
        """Lease a secret for ``ttl`` (None: the grant's default). Use it in a ``with``, which releases it.

        ``label="previous"`` leases the version before, for as long as its overlap window lasts (``no-previous``).
        """
        return LeaseHandle(self._engine, self._agent, self._opened(name, environment, ttl, label))

    def _opened(
        self, name: str, environment: str, ttl: timedelta | None, label: Label, recipient: Digest | None = None
    ) -> Outcome:
        where = self._where(name, environment)
        draft = NewLease(name=where[0], environment=where[1], ttl=micros(ttl), label=label, recipient=recipient)
        return self._ask(draft, name)

    def lease_sealed(
        self, name: str, *, environment: str, to: str, ttl: timedelta | None = None, label: Label = "current"
    ) -> Delivery:
        """Lease a secret sealed to a runtime's public key (:attr:`ironsecrets.RuntimeKey.public`).

        What comes back can be passed on by anybody and opened by that runtime only, until the lease ends; the log says
        to which key it was sealed. Refused: ``bad-recipient``, and as :meth:`lease` is.
        """
        from interpreters.runtime_key import seal_to

        recipient = accepted(parse_recipient(to))
        outcome = self._opened(name, environment, ttl, label, recipient.digest())
        lease = outcome.command
        if not isinstance(lease, OpenLease):
            raise TypeError
        kept = self._engine.state.leases.by_id.get(lease.lease)
        with outcome.disclosed or Sensitive(b"") as value:
            delivery = Delivery(
                environment=lease.environment,
                expires_at=outcome.at if kept is None else kept.expires_at,
                lease=lease.lease,
                name=lease.name,
                sealed="",
                suite=recipient.suite,
                vault=self._engine.header.vault,
                version=outcome.version or 1,
            )
            try:
                return seal_to(recipient, value, delivery)
            except BaseException:
                self._engine.execute(self._agent, Release(lease=lease.lease))
                raise

    def _supply(self, name: str, environment: str) -> Supply:
        self._where(name, environment)
        return Supply(partial(self.lease, name, environment=environment))

    def httpx_auth(
        self, name: str, *, environment: str, header: str = "Authorization", scheme: str = "Bearer"
    ) -> "LeasedAuth":
        """For ``httpx.Client(auth=...)`` and ``httpx2``, sync and async, and so for the SDKs that take such a client.

        The header is set from a lease as each request is sent, and not kept; a rotated value is used for the next
        request; on 401 the lease is refreshed, once. ``scheme=""`` sends the value alone.
        """
        from interpreters.httpx_auth import LeasedAuth

        return LeasedAuth(self._supply(name, environment), header, scheme)

    def requests_auth(
        self, name: str, *, environment: str, header: str = "Authorization", scheme: str = "Bearer"
    ) -> "LeasedRequestsAuth":
        """For ``requests`` and its sessions, as :meth:`httpx_auth` for httpx."""
        try:
            from interpreters.requests_auth import LeasedRequestsAuth
        except ImportError:
            raise VaultError("this needs requests: install ironsecrets[requests]") from None
        return LeasedRequestsAuth(self._supply(name, environment), header, scheme)

    @overload
    def key_provider(self, name: str, *, environment: str, asynchronous: Literal[False] = False) -> KeyProvider: ...

    @overload
    def key_provider(self, name: str, *, environment: str, asynchronous: Literal[True]) -> AsyncKeyProvider: ...

    def key_provider(
        self, name: str, *, environment: str, asynchronous: bool = False
    ) -> KeyProvider | AsyncKeyProvider:
        """A callable that gives the current value, for SDKs that take one; with ``asynchronous`` one to await.

        Such an SDK keeps the last value it was given: :meth:`httpx_auth` leaves it none.
        """
        supply = self._supply(name, environment)
        return AsyncKeyProvider(supply) if asynchronous else KeyProvider(supply)

    def settings_source(self, settings: "type[BaseSettings]", *, environment: str) -> "VaultSettingsSource":
        """A source for ``settings_customise_sources`` of pydantic-settings: fields annotated with
        :class:`ironsecrets.FromVault`."""
        try:
            from interpreters.settings_source import VaultSettingsSource
        except ImportError:
            raise VaultError("this needs pydantic-settings: install ironsecrets[pydantic-settings]") from None
        return VaultSettingsSource(settings, partial(self.lease, environment=environment))

    def web_lease(self, name: str, *, environment: str) -> "LeaseFor":
        """A dependency for FastAPI's ``Depends(...)``: a lease for as long as a request is answered."""
        try:
            from interpreters.web import LeaseFor
        except ImportError:
            raise VaultError("this needs starlette: install ironsecrets[starlette]") from None
        return LeaseFor(partial(self.lease, name, environment=environment))

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
