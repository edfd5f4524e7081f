"""A supply of one value for a client that asks again and again: the live lease while it lasts, then a new one.

Nothing is kept beside the lease. A rotated value is what the next use gets; a revoked grant is refused at the next use.
"""

import threading
from collections.abc import Callable
from typing import TypeVar

from interpreters.lease_handle import LeaseHandle
from ironsecrets.errors import Refused

_T = TypeVar("_T")
UNAUTHORIZED = 401
ENDED = frozenset({"lease-expired", "lease-revoked", "unknown-lease"})
"""The refusals after which another lease is asked for."""


class Supply:
    """One secret for one client. Thread-safe."""

    def __init__(self, lease: Callable[[], LeaseHandle]) -> None:
        self._open = lease
        self._lock = threading.Lock()
        self._lease: LeaseHandle | None = None

    def take(self, use: Callable[[LeaseHandle], _T]) -> _T:
        """What ``use`` makes of a live lease."""
        with self._lock:
            if self._lease is not None:
                try:
                    return use(self._lease)
                except Refused as refused:
                    if refused.refusal.code not in ENDED:
                        raise
            self._lease = self._open()
            return use(self._lease)

    def text(self) -> str:
        """The value that is current now, as a copy."""
        return self.take(LeaseHandle.text)

    def header(self, scheme: str) -> str:
        """The value of a header: the scheme, where there is one, and the value."""
        return f"{scheme} {self.text()}" if scheme else self.text()

    def refresh(self) -> None:
        """End the lease; the next use opens another one."""
        with self._lock:
            lease, self._lease = self._lease, None
        if lease is not None:
            lease.release()


class KeyProvider:
    """A callable that gives the value that is current now: what SDKs take where a key would stand."""

    def __init__(self, supply: Supply) -> None:
        self._supply = supply

    def __call__(self) -> str:
        return self._supply.text()

    def __repr__(self) -> str:
        return "<KeyProvider>"


class AsyncKeyProvider:
    """The same for SDKs that await it. Looks in a thread, so the event loop never waits for the store."""

    def __init__(self, supply: Supply) -> None:
        self._supply = supply

    async def __call__(self) -> str:
        # Imported late: few programs of those that hold a handle have an event loop.
        import asyncio

        return await asyncio.to_thread(self._supply.text)

    def __repr__(self) -> str:
        return "<AsyncKeyProvider>"
