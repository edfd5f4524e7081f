"""The scheduler: waits until something is due, and does it. What is due, the core says.

One pass does what is due now: values by their rotators, previous versions that are to be destroyed, the epoch of
the vault's keys. Of several processes that embed one vault, one leads a pass and the others leave it alone. A pass
rotates a few values at most, so that a clock that jumps rotates nothing by the hundred.
"""

import logging
import random
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from types import TracebackType

import attrs
from returns.result import Failure, Result, Success
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_random_exponential,
)

from interpreters.conversions import MICROSECOND
from interpreters.engine import Engine
from interpreters.key_rotation import rotate_key
from interpreters.outcome import Prepared
from interpreters.rotators import Manual, Rotator
from interpreters.threads import quiet_thread
from interpreters.value_rotation import Driver, Rotated
from ironsecrets.agenda import Due, agenda, next_wake, plans
from ironsecrets.epochs import due as key_due
from ironsecrets.errors import Refused, RotationFailed, StoreUnavailable, VaultBusy, VaultError
from ironsecrets.principals import Operator
from ironsecrets.refusals import Refusal
from ironsecrets.removal import Destroy
from ironsecrets.state import VaultState

MOST = 10
INTERVAL = timedelta(minutes=1)
SHORTEST = 0.5
_log = logging.getLogger("ironsecrets")
_DONE_ALREADY = Refusal("nothing-left", "others have done it meanwhile")


@attrs.frozen(kw_only=True)
class Pass:
    """What one pass of the scheduler did and left.

    ``led`` is False where another process leads and nothing was looked at. ``reminders`` are due and need somebody:
    rotated by hand, or by a rotator that this host does not have. ``held`` is overdue by more than a year, which
    hints at a wrong clock: nothing is done about it until somebody accepts the clock. ``left`` is how many due values
    wait for the next pass. ``epoch`` is the new epoch of the keys, if they were due. ``next_at`` is when the next
    thing comes due, in microseconds since the Unix epoch.
    """

    led: bool
    rotated: tuple[Rotated, ...] = ()
    failed: tuple[RotationFailed | Refused, ...] = ()
    destroyed: tuple[Due, ...] = ()
    reminders: tuple[Due, ...] = ()
    held: tuple[Due, ...] = ()
    left: int = 0
    epoch: int | None = None
    next_at: int | None = None


@attrs.define
class Scheduler:
    """Passes on a thread of its own, in a ``with`` or between ``start`` and ``close``; or one at a time.

    ``most`` values are rotated in a pass. Passes are ``interval`` apart, or less where something comes due sooner,
    and each wait is longer by a random tenth at most. ``heard`` is called with each pass that this process led.
    ``error`` is what ended the thread before its time, or None.
    """

    engine: Engine
    operator: Operator
    rotators: Mapping[str, Rotator] = attrs.field(factory=dict[str, Rotator])
    most: int = MOST
    interval: timedelta = INTERVAL
    accept_clock: bool = False
    keys: bool = True
    heard: Callable[[Pass], object] | None = None
    jitter: Callable[[], float] = random.random
    error: VaultError | None = None
    ended: threading.Event = attrs.field(factory=threading.Event)
    _thread: threading.Thread | None = None

    def run_once(self) -> Pass:
        """One pass. Raises what the store does; what a rotator does stands in the pass."""
        self.engine.check_usable()
        with self.engine.store.lead() as led:
            return self._pass() if led else Pass(led=False)

    def _pass(self) -> Pass:
        state, now = self._now()
        driver = Driver(
            engine=self.engine, operator=self.operator, rotators=self.rotators, sleep=sleep_using_event(self.ended)
        )
        ready = [due for due in agenda(state.secrets) if due.ready(now)]
        held, todo = _parted(ready, lambda due: due.held(now) and not self.accept_clock)
        outdated, values = _parted(todo, lambda due: due.kind == "destroy-previous")
        reminders, driven = _parted(values, lambda due: isinstance(driver.rotator(due.rotator), Manual | None))
        destroyed = [due for due in outdated if self._destroyed(due)]
        rotated: list[Rotated] = []
        failed: list[RotationFailed | Refused] = []
        for due in driven[: self.most]:
            if self.ended.is_set():
                break
            try:
                begun = due.kind == "resume"
                done = (driver.resume if begun else driver.rotate)(due.name, due.environment)
                rotated += [] if done is None else [done]
            except (RotationFailed, Refused) as error:
                failed.append(error)
        epoch = None
        if self.keys and not self.ended.is_set() and key_due(state.epochs, state.epoch_age, now) is not None:
            epoch = rotate_key(self.engine, self.operator).epoch
        state, now = self._now()
        return Pass(
            led=True,
            rotated=tuple(rotated),
            failed=tuple(failed),
            destroyed=tuple(destroyed),
            reminders=tuple(reminders),
            held=tuple(held),
            left=max(0, len(driven) - self.most),
            epoch=epoch,
            next_at=next_wake(state.secrets, now),
        )

    def _now(self) -> tuple[VaultState, int]:
        with self.engine.lock:
            self.engine.catch_up()
            return self.engine.state, self.engine.now()

    def _destroyed(self, due: Due) -> bool:
        def prepare(state: VaultState, at: int) -> Result[Prepared, Refusal]:
            secret = state.secrets.find(due.environment, due.name)
            if secret is None or due not in plans(secret) or not due.ready(at):
                return Failure(_DONE_ALREADY)
            return Success(Prepared(command=Destroy(environment=due.environment, name=due.name, version=due.version)))

        match self.engine.perform(self.operator, prepare):
            case Success(_):
                return True
            case _:
                return False

    def run(self) -> None:
        """Pass after pass, until :meth:`close` or an error that waiting does not mend."""
        while not self.ended.is_set():
            done = self._patiently()
            if done is None:
                return
            self._tell(done)
            self.ended.wait(self.delay(done))

    def _patiently(self) -> Pass | None:
        """A pass, tried again with growing pauses while the store is busy or away; None when told to end."""

        def troubled(tried: RetryCallState) -> None:
            if tried.outcome is not None and (error := tried.outcome.exception()) is not None:
                _log.warning("the scheduler waits for the store: %s", error)

        again = Retrying(
            retry=retry_if_exception_type((VaultBusy, StoreUnavailable)),
            stop=stop_when_event_set(self.ended),
            wait=wait_random_exponential(multiplier=0.5, max=60),
            sleep=sleep_using_event(self.ended),
            before_sleep=troubled,
            reraise=True,
        )
        try:
            return again(self.run_once)
        except (VaultBusy, StoreUnavailable):
            return None

    def _tell(self, done: Pass) -> None:
        if self.heard is not None and done.led:
            try:
                self.heard(done)
            except Exception as error:
                _log.error("the scheduler's listener raised %s", type(error).__name__)

    def delay(self, done: Pass) -> float:
        """How long to wait after a pass, in seconds."""
        longest = self.interval.total_seconds()
        wait = longest
        if done.next_at is not None:
            _, now = self._now()
            wait = min(longest, (done.next_at - now) * MICROSECOND.total_seconds())
        return max(wait, SHORTEST) + self.jitter() * longest / 10

    def start(self) -> "Scheduler":
        """Begin on a thread."""
        self._thread = quiet_thread(self._work, "ironsecrets scheduler")
        return self

    def _work(self) -> None:
        try:
            self.run()
        except VaultError as error:
            if not self.ended.is_set():
                self.error = error

    def close(self) -> None:
        """End after what is being done now. Closing twice is no error."""
        self.ended.set()
        if self._thread is not None and threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> "Scheduler":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _parted(items: Iterable[Due], those: Callable[[Due], bool]) -> tuple[list[Due], list[Due]]:
    found: tuple[list[Due], list[Due]] = ([], [])
    for item in items:
        found[0 if those(item) else 1].append(item)
    return found
