"""A lease in the hands of its agent."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from types import TracebackType
from typing import TypeVar

from returns.result import Failure, Success

from interpreters.conversions import accepted, micros, moment
from interpreters.engine import Engine
from interpreters.ip_tokens import IPTokenKey
from interpreters.locked_memory import Protection, copied, protections
from interpreters.outcome import Outcome
from ironsecrets.errors import Refused
from ironsecrets.leases import OpenLease, Release, Renew
from ironsecrets.principals import Agent
from ironsecrets.sensitive import Sensitive

_T = TypeVar("_T")


class LeaseHandle:
    """One lease: the value, for as long as the lease is live. Leaving the ``with`` releases and wipes it.

    The value is in locked memory that no core dump shows (:attr:`protection` says what of this the system gives),
    and is wiped on release, on expiry, on revocation by any process, with the handle, and at interpreter exit.
    """

    def __init__(self, engine: Engine, agent: Agent, outcome: Outcome) -> None:
        match outcome.command:
            case OpenLease(lease=lease, name=name, environment=environment):
                self.id, self.name, self.environment = lease, name, environment
            case _:
                raise AssertionError
        self.seq = outcome.seq
        self._engine = engine
        self._agent = agent
        self._lock = threading.RLock()
        self._value = outcome.disclosed or Sensitive(b"")
        self._released = False
        self._version = outcome.version or 0
        opened = engine.state.leases.by_id.get(lease)
        self._expires_at = outcome.at if opened is None else opened.expires_at
        engine.custody.hold(self, engine)

    @property
    def holder(self) -> Agent:
        """The agent whose lease it is."""
        return self._agent

    def forget(self) -> None:
        """Wipe this process's copy of the value. While the lease is live, the next use takes it anew."""
        with self._lock:
            self._value.wipe()
            self._version = 0

    def _use(self, take: Callable[[Sensitive], _T]) -> _T:
        with self._lock:
            match self._engine.use_lease(self._agent, self.id, self._version):
                case Success((lease, version, value)):
                    self._expires_at, self._version = lease.expires_at, version
                    if value is not None:
                        self._value.wipe()
                        self._value = value
                    return take(self._value)
                case Failure(refusal):
                    self.forget()
                    raise Refused(refusal, self.name)
                case _:
                    raise AssertionError

    def bytes(self) -> bytes:
        """The value that is current now, as a copy, which Python cannot wipe. Refused once the lease has ended, in any
        process."""
        return self._use(Sensitive.bytes)

    def text(self) -> str:
        """The value as text (UTF-8), as a copy, which Python cannot wipe."""
        return self._use(Sensitive.text)

    def view(self) -> memoryview:
        """The value itself, read-only and not copied: zeros as soon as it is wiped."""
        return self._use(lambda value: value.view().toreadonly())

    def value(self) -> Sensitive:
        """A copy that shows itself to nobody, in memory as protected; the caller wipes it."""
        return self._use(copied)

    def ip_token(self, key: IPTokenKey) -> str:
        """The value that is current now as an IP token under ``key``, for a runtime that shares it.

        The token lives as long as the session key does: ending the lease does not call it back.
        """
        return self._use(key.encrypt)

    @property
    def protection(self) -> frozenset[Protection]:
        """How the memory of the value is protected: ``locked``, ``not-dumped``, ``wiped-on-fork``."""
        return protections(self._value)

    @property
    def version(self) -> int:
        """The version of the value that was taken last; 0 where none is held."""
        return self._version

    @property
    def expires_at(self) -> datetime:
        """When the lease ends if it is not renewed, in UTC."""
        return moment(self._expires_at)

    def renew(self, ttl: timedelta | None = None) -> datetime:
        """Let the lease run ``ttl`` from now (None: the grant's default), within the grant's maximum; its end."""
        accepted(self._engine.execute(self._agent, Renew(lease=self.id, ttl=micros(ttl))), self.name)
        self._use(lambda _: None)
        return self.expires_at

    def release(self) -> None:
        """End the lease and wipe the value. Releasing twice, or what has ended already, is no error."""
        self.forget()
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
