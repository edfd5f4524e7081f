"""Custody: the values of leases that this process holds, each wiped when its lease ends, used or not.

A thread looks a few times a second, while there are any, whether a lease has expired, was revoked by any process,
or may not be used now. What the log and the clock say decides, through the same function as at each use.
"""

import threading
import weakref
from contextlib import suppress
from typing import Protocol

from interpreters.threads import quiet_thread
from ironsecrets import leases as leasing
from ironsecrets.errors import StoreUnavailable, VaultBusy, VaultError
from ironsecrets.identifiers import LeaseId
from ironsecrets.principals import Agent
from ironsecrets.refusals import Refusal
from ironsecrets.state import VaultState

INTERVAL = 0.25
"""Seconds between two looks."""


class Held(Protocol):
    """A lease in somebody's hands."""

    @property
    def id(self) -> LeaseId: ...

    @property
    def holder(self) -> Agent:
        """Who uses it."""
        ...

    def forget(self) -> None:
        """Wipe the value; a use that is allowed takes it anew."""
        ...


class Shell(Protocol):
    """What custody asks of an engine."""

    lock: threading.RLock
    state: VaultState

    def check_usable(self) -> None: ...
    def catch_up(self) -> None: ...
    def now(self) -> int: ...


class Custody:
    """The leases of one engine that this process holds."""

    def __init__(self, interval: float = INTERVAL) -> None:
        self._held: weakref.WeakSet[Held] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._interval = interval
        self._thread: threading.Thread | None = None

    def hold(self, lease: Held, engine: Shell) -> None:
        """Look after ``lease`` until nobody holds it any more."""
        with self._lock:
            self._held.add(lease)
            if self._thread is None and not self._ended.is_set():
                shell = weakref.ref(engine)
                self._thread = quiet_thread(lambda: self._watch(shell), "ironsecrets custody")

    def _watch(self, shell: "weakref.ref[Shell]") -> None:
        while not self._ended.wait(self._interval):
            engine = shell()
            with self._lock:
                if engine is None or not self._held:
                    self._thread = None
                    return
            self.sweep(engine)
            del engine

    def sweep(self, engine: Shell) -> None:
        """Look once: wipe the values whose leases do not hold now. Where nobody can tell, all of them."""
        try:
            with engine.lock:
                engine.check_usable()
                # Where the store does not answer, what is known decides: the clock still ends leases.
                with suppress(VaultBusy, StoreUnavailable):
                    engine.catch_up()
                state, now = engine.state, engine.now()
        except VaultError:
            self._forget_all()
            return
        for lease in list(self._held):
            if isinstance(leasing.live(state, now, lease.holder, lease.id), Refusal):
                lease.forget()

    def _forget_all(self) -> None:
        for lease in list(self._held):
            lease.forget()

    def close(self) -> None:
        """Wipe every value and look no more."""
        self._ended.set()
        self._forget_all()
