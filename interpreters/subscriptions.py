"""Telling a host what happened to values and leases, by any process, soon after it happened."""

import logging
import threading
from collections.abc import Callable
from types import TracebackType

from interpreters.engine import Engine
from interpreters.threads import quiet_thread
from interpreters.unsealed import agreed
from ironsecrets.errors import StoreUnavailable, VaultBusy, VaultError
from ironsecrets.events import Event, Follower, followed, passed

INTERVAL = 0.2
_log = logging.getLogger("ironsecrets")


class Subscription:
    """Calls ``callback`` with each event, in order, on a thread of its own, until it is closed.

    Starts with what happens next. A callback that raises is logged by kind, and misses nothing else. ``error`` is
    what ended the subscription before its time, or None.
    """

    def __init__(self, engine: Engine, callback: Callable[[Event], object], interval: float = INTERVAL) -> None:
        self._engine, self._callback, self._interval = engine, callback, interval
        self._ended = threading.Event()
        self.error: VaultError | None = None
        engine.check_usable()
        with engine.lock:
            engine.catch_up()
            self._follower = Follower(state=engine.state, time=engine.now())
        self._thread = quiet_thread(self._watch, "ironsecrets subscription")

    def _watch(self) -> None:
        while not self._ended.is_set():
            try:
                self.poll()
            except (VaultBusy, StoreUnavailable):
                pass
            except VaultError as error:
                self.error = error
                if not self._ended.is_set():
                    _log.error("a subscription ended: %s", type(error).__name__)
                return
            self._ended.wait(self._interval)

    def poll(self) -> None:
        """Look once, and tell what is new."""
        engine = self._engine
        with engine.lock:
            engine.check_usable()
            engine.catch_up()
            now, size = engine.now(), engine.state.log.size
            news = list(engine.plain_entries(self._follower.state.log.size, size))
        for raw in news:
            self._follower, events = agreed(followed(self._follower, raw))
            self._tell(events)
        self._follower, events = passed(self._follower, now)
        self._tell(events)

    def _tell(self, events: tuple[Event, ...]) -> None:
        for event in events:
            if self._ended.is_set():
                return
            try:
                self._callback(event)
            except Exception as error:
                _log.error("a subscriber raised %s on %s", type(error).__name__, event.kind)

    def close(self) -> None:
        """Call back no more. Waits for a callback that is running, unless it is the one that closes."""
        self._ended.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> "Subscription":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
