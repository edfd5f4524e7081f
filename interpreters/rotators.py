"""Rotators: what makes a new value, hands it to the outside, tries it there, and puts things back.

A rotator may be run again for a step that it has done already, after a crash or a failure: each step must be
safe to repeat. It gets values only while its step lasts, each look is an entry in the log, and whatever it
raises is recorded by kind only, since the text of an error may hold a value.
"""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Literal, TypeVar

import attrs

from ironsecrets.errors import VaultClosed, VaultError
from ironsecrets.identifiers import Environment, RotationId, SecretName
from ironsecrets.secrets import FailureReason
from ironsecrets.sensitive import Sensitive

Step = Literal["create", "set", "test", "finish", "abort"]
TIME_LIMIT = timedelta(seconds=30)
_T = TypeVar("_T")


class StepFailed(VaultError):
    """A rotator's step did not succeed. ``lingering``: it could not be stopped and may still act."""

    def __init__(self, reason: FailureReason, kind: str = "", *, lingering: bool = False) -> None:
        super().__init__(f"{reason}{f': {kind}' if kind else ''}")
        self.reason: FailureReason = reason
        self.detail = kind
        self.lingering = lingering


@attrs.frozen(kw_only=True)
class NewValue:
    """A new value, and when it ends by itself at its provider (None: never)."""

    value: Sensitive
    expires_in: timedelta | None = None


class Task:
    """One step for a rotator: whose value, which step, and the values themselves, for as long as it lasts."""

    def __init__(
        self,
        *,
        name: SecretName,
        environment: Environment,
        rotation: RotationId,
        step: Step,
        current: Callable[[], Sensitive],
        pending: Callable[[], Sensitive] | None,
        generate: Callable[[], Sensitive],
    ) -> None:
        self.name, self.environment, self.rotation, self.step = name, environment, rotation, step
        self._look = {"current": current, "pending": pending}
        self._generate = generate
        self._shown: dict[str, Sensitive] = {}
        self._over = False
        self._lock = threading.Lock()

    @property
    def has_pending(self) -> bool:
        """Whether there is a pending value: from ``set`` on."""
        return self._look["pending"] is not None

    def current(self) -> Sensitive:
        """The value that is current, wiped when the step is over."""
        return self._value("current")

    def pending(self) -> Sensitive:
        """The value that is to become current, wiped when the step is over."""
        return self._value("pending")

    def generate(self) -> Sensitive:
        """A random value of the length and alphabet that the rotation policy says."""
        return self._generate()

    def _value(self, label: str) -> Sensitive:
        with self._lock:
            look = self._look[label]
            if self._over or look is None:
                raise VaultClosed("the step is over" if self._over else "there is no pending value before `create`")
            if label not in self._shown:
                self._shown[label] = look()
            return self._shown[label]

    def __enter__(self) -> "Task":
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._over = True
            for value in self._shown.values():
                value.wipe()

    def __repr__(self) -> str:
        return f"<{self.step} {self.name!r} in {self.environment!r}>"


class Rotator:
    """A value that only has to be random: generated, and nothing outside to tell. Others override its steps."""

    def create(self, task: Task) -> NewValue:
        """Make the new value."""
        return NewValue(value=task.generate())

    def set(self, task: Task) -> None:
        """Make the outside accept the pending value."""

    def test(self, task: Task) -> None:
        """Try the pending value; raise if it does not work."""

    def finish(self, task: Task) -> None:
        """The last step before the pending value becomes current."""

    def abort(self, task: Task) -> None:
        """Put the outside back to the current value; raise where that cannot be known to have worked."""


class Manual(Rotator):
    """A reminder: somebody makes the new value and tells the outside."""


Made = NewValue | Sensitive | str | bytes | None


class CallableRotator(Rotator):
    """Steps as Python functions of a :class:`Task`, each within ``timeout``. What is left out has nothing to do;
    without ``create``, or where it gives None, the value is generated.

    Python cannot stop a function. One that is over its time goes on in a thread of its own without access to the
    values, and until it has ended no other step is begun.
    """

    def __init__(
        self,
        *,
        create: Callable[[Task], Made] | None = None,
        set: Callable[[Task], object] | None = None,
        test: Callable[[Task], object] | None = None,
        finish: Callable[[Task], object] | None = None,
        abort: Callable[[Task], object] | None = None,
        timeout: timedelta = TIME_LIMIT,
    ) -> None:
        self._create = create
        self._steps = {"set": set, "test": test, "finish": finish, "abort": abort}
        self._timeout = timeout.total_seconds()
        self._running: threading.Thread | None = None

    def create(self, task: Task) -> NewValue:
        made = None if self._create is None else self._limited(self._create, task)
        if made is None:
            return super().create(task)
        if isinstance(made, NewValue):
            return made
        # A caller's function may give anything back.
        if not isinstance(made, Sensitive | str | bytes):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise StepFailed("bad-output", "neither text nor bytes")
        return NewValue(value=Sensitive(made.view() if isinstance(made, Sensitive) else made))

    def set(self, task: Task) -> None:
        self._step(task)

    def test(self, task: Task) -> None:
        self._step(task)

    def finish(self, task: Task) -> None:
        self._step(task)

    def abort(self, task: Task) -> None:
        self._step(task)

    def _step(self, task: Task) -> None:
        function = self._steps[task.step]
        if function is not None:
            self._limited(function, task)

    def _limited(self, function: Callable[[Task], _T], task: Task) -> _T:
        if self._running is not None and self._running.is_alive():
            raise StepFailed("timed-out", "the step before has not ended", lingering=True)
        results: list[_T] = []
        errors: list[Exception] = []

        def work() -> None:
            try:
                results.append(function(task))
            except Exception as error:
                errors.append(error)

        thread = self._running = threading.Thread(target=work, name=f"rotator {task.step}", daemon=True)
        thread.start()
        thread.join(self._timeout)
        if errors:
            raise errors[0]
        if not results:
            raise StepFailed("timed-out", lingering=True)
        return results[0]


GENERATED_ROTATOR = Rotator()
MANUAL_ROTATOR = Manual()
