"""Commands on their way, and the line in which they stand for the engine's lock."""

import threading
from collections.abc import Sequence

import attrs
from returns.result import Result

from interpreters.outcome import Outcome, Prepare
from ironsecrets.identifiers import RequestId
from ironsecrets.principals import Principal
from ironsecrets.refusals import Refusal

TOGETHER = 256
"""How many commands share a commit at most."""

Answer = Result[Outcome, Refusal]


@attrs.define(eq=False)
class Asked:
    """One command on its way, and the answer once there is one."""

    principal: Principal
    prepare: Prepare = attrs.field(repr=False)
    request: RequestId
    given: bool
    """Whether the caller chose the request's id, so that it may be one that was recorded before."""
    answer: Answer | None = attrs.field(default=None, repr=False)
    error: BaseException | None = None
    _woken: threading.Lock = attrs.field(factory=threading.Lock, repr=False)

    def __attrs_post_init__(self) -> None:
        self._woken.acquire()

    @property
    def settled(self) -> bool:
        """Whether it has been answered, with an outcome, a refusal or an error."""
        return self.answer is not None or self.error is not None

    def result(self) -> Answer:
        """The answer; the error is raised."""
        if self.error is not None:
            raise self.error
        assert self.answer is not None
        return self.answer

    def wait(self) -> None:
        """Until somebody has served it, or has given up serving it."""
        self._woken.acquire()

    def wake(self) -> None:
        """Let its thread look again."""
        if self._woken.locked():
            self._woken.release()


@attrs.define(eq=False)
class Line:
    """Those who wait for the engine's lock, so that whoever gets it can serve them all."""

    _gate: threading.Lock = attrs.field(factory=threading.Lock, repr=False)
    _waiting: list[Asked] = attrs.field(factory=list[Asked])
    _led: bool = False

    def join(self, asked: Asked) -> None:
        """Stand in line."""
        with self._gate:
            self._waiting.append(asked)

    def lead(self) -> bool:
        """Whether the caller is to wait for the lock; False while another does, who will serve those in line."""
        with self._gate:
            if self._led:
                return False
            self._led = True
            return True

    def take(self, *, led: bool) -> list[Asked]:
        """All who stand in line now. Who joins later finds nobody leading, or the next."""
        with self._gate:
            if led:
                self._led = False
            taken, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
            return taken

    def leave(self, asked: Asked) -> None:
        """Stand in line no more."""
        with self._gate:
            self._waiting = [one for one in self._waiting if one is not asked]

    def put_back(self, left: Sequence[Asked]) -> None:
        """Those who were taken and not served, first in line again."""
        with self._gate:
            self._waiting[:0] = left
