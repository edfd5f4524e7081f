"""Keeping a child company: signals passed on, rotations told to it, a restart where that was asked for."""

import errno
import os
import queue
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Literal

import attrs

from interpreters.kept_file import BadVariable
from interpreters.piping import RedactedOutput
from interpreters.processes import Forward, forwarding
from interpreters.threads import quiet_thread
from ironsecrets.events import Event

NOT_FOUND, NOT_EXECUTABLE = 127, 126
GRACE = 10.0
RETRY = 5.0
_ENDING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})


@attrs.frozen
class Restart:
    """On rotation, end the child (SIGTERM, and SIGKILL after ``grace`` seconds) and start it anew."""

    grace: float = GRACE


OnRotate = signal.Signals | Restart | None


@attrs.frozen
class _Ended:
    child: "subprocess.Popen[bytes]"
    status: int


@attrs.frozen(kw_only=True)
class News:
    """What :class:`Supervisor` asks of the one who holds the values.

    ``concerns`` says of an event whether it is about them. ``refresh`` takes the new values and says whether it has
    ``all`` of them or ``some``, or can only do so ``later``.
    """

    environment: Callable[[], dict[bytes, bytes]]
    concerns: Callable[[Event], Literal["rotate", "access", "nothing"]]
    refresh: Callable[[], Literal["all", "some", "later"]]


@attrs.define
class Supervisor:
    """Runs ``command`` to its end and gives its exit status, 128 and a signal's number where one ended it."""

    command: Sequence[str]
    news: News
    on_rotate: OnRotate = None
    output: RedactedOutput | None = None
    events: "queue.SimpleQueue[Event | _Ended]" = attrs.field(factory=lambda: queue.SimpleQueue[Event | _Ended]())
    _child: "subprocess.Popen[bytes] | None" = None
    _forward: Forward = attrs.field(factory=Forward)
    _failed: int = 0
    _stopping: bool = False
    _kill_at: float | None = None
    # Something changed that has not been taken in, and whether the child is to be told of a rotation then.
    _retry_at: float | None = None
    _rotated: bool = False

    def run(self) -> int:
        """Start, and wait until it is over."""
        with forwarding() as forward:
            self._forward = forward
            if not self._start(forward):
                return self._failed
            while True:
                match self._next():
                    case _Ended(child=child, status=status) if child is self._child:
                        if self.output is not None:
                            self.output.drain()
                        if not self._stopping or forward.seen & _ENDING:
                            return 128 - status if status < 0 else status
                        self._stopping, self._kill_at = False, None
                        if not self._start(forward):
                            return self._failed
                    case Event() as event:
                        self._heard(event)
                    case _:
                        self._time_is_up()

    def _start(self, forward: Forward) -> bool:
        try:
            pipe = None if self.output is None else subprocess.PIPE
            child = self._child = subprocess.Popen(self.command, env=self.news.environment(), stdout=pipe, stderr=pipe)
        except OSError as error:
            if error.errno == errno.E2BIG:
                raise BadVariable("the values are too large for a process environment") from None
            missing = isinstance(error, FileNotFoundError)
            print_error(f"{self.command[0]}: {'command not found' if missing else error.strerror}")
            self._failed = NOT_FOUND if missing else NOT_EXECUTABLE
            return False
        if self.output is not None:
            self.output.attach(child)
        quiet_thread(lambda: self.events.put(_Ended(child, child.wait())), "ironsecrets run")
        forward(child)
        return True

    def _next(self) -> "Event | _Ended | None":
        moments = [moment for moment in (self._kill_at, self._retry_at) if moment is not None]
        timeout = max(0.0, min(moments) - time.monotonic()) if moments else None
        try:
            return self.events.get(timeout=timeout)
        except queue.Empty:
            return None

    def _heard(self, event: Event) -> None:
        concern = self.news.concerns(event)
        if concern != "nothing":
            self._rotated |= concern == "rotate"
            self._take_in()

    def _take_in(self) -> None:
        taken = self.news.refresh()
        if taken == "later":
            self._retry_at = time.monotonic() + RETRY
            return
        rotated, self._rotated, self._retry_at = self._rotated, False, None
        child = self._child
        if not rotated or child is None or child.poll() is not None:
            return
        match self.on_rotate:
            # With a value missing a new child could not start; the old one goes on.
            case Restart(grace=grace) if taken == "all" and not self._stopping:
                self._forward.seen.clear()
                self._stopping, self._kill_at = True, time.monotonic() + grace
                child.terminate()
            case signal.Signals() as number:
                child.send_signal(number)
            case _:
                pass

    def _time_is_up(self) -> None:
        now = time.monotonic()
        if self._kill_at is not None and now >= self._kill_at and self._child is not None:
            self._kill_at = None
            self._child.kill()
        if self._retry_at is not None and now >= self._retry_at:
            self._take_in()


def print_error(line: str) -> None:
    """One line on stderr, as the command line prints its errors."""
    os.write(2, f"ironsecrets: {line}\n".encode())
