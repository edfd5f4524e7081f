"""A lease in the hands of its agent."""

from datetime import datetime, timedelta
from types import TracebackType

from returns.result import Failure, Success

from interpreters.conversions import accepted, micros, moment
from interpreters.engine import Engine
from interpreters.ip_tokens import IPTokenKey
from interpreters.outcome import Outcome
from ironsecrets.errors import Refused
from ironsecrets.leases import OpenLease, Release, Renew
from ironsecrets.principals import Agent
from ironsecrets.sensitive import Sensitive


class LeaseHandle:
    """One lease: the value, for as long as the lease is live. Leaving the ``with`` releases and wipes it."""

    def __init__(self, engine: Engine, agent: Agent, outcome: Outcome) -> None:
        match outcome.command:
            case OpenLease(lease=lease, name=name, environment=environment):
                self.id, self.name, self.environment = lease, name, environment
            case _:
                raise AssertionError
        self.seq = outcome.seq
        self._engine = engine
        self._agent = agent
        self._value = outcome.disclosed or Sensitive(b"")
        self._released = False
        self._version = outcome.version or 0
        opened = engine.state.leases.by_id.get(lease)
        self._expires_at = outcome.at if opened is None else opened.expires_at

    def _take(self, value: Sensitive | None) -> None:
        if value is not None:
            self._value.wipe()
            self._value = value

    def _current(self) -> Sensitive:
        match self._engine.use_lease(self._agent, self.id, self._version):
            case Success((lease, version, value)):
                self._expires_at, self._version = lease.expires_at, version
                self._take(value)
                return self._value
            case Failure(refusal):
                self._value.wipe()
                raise Refused(refusal, self.name)
            case _:
                raise AssertionError

    def bytes(self) -> bytes:
        """The value that is current now, as a copy. Refused once the lease has ended, in any process."""
        return self._current().bytes()

    def text(self) -> str:
        """The value as text (UTF-8), as a copy."""
        return self._current().bytes().decode()

    def ip_token(self, key: IPTokenKey) -> str:
        """The value that is current now as an IP token under ``key``, for a runtime that shares it.

        The token lives as long as the session key does: ending the lease does not call it back.
        """
        return key.encrypt(self._current())

    @property
    def expires_at(self) -> datetime:
        """When the lease ends if it is not renewed, in UTC."""
        return moment(self._expires_at)

    def renew(self, ttl: timedelta | None = None) -> datetime:
        """Let the lease run ``ttl`` from now (None: the grant's default), within the grant's maximum; its end."""
        accepted(self._engine.execute(self._agent, Renew(lease=self.id, ttl=micros(ttl))), self.name)
        self._current()
        return self.expires_at

    def release(self) -> None:
        """End the lease and wipe the value. Releasing twice, or what has ended already, is no error."""
        self._value.wipe()
        if not self._released:
            self._released = True
            if self.id in self._engine.state.leases.by_id:
                self._engine.execute(self._agent, Release(lease=self.id))

    def __enter__(self) -> "LeaseHandle":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<lease {self.id} on {self.name!r} in {self.environment!r}>"
