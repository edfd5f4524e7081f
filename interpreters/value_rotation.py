"""Driving the rotation of a value: each step by its rotator, then the command that records it.

A step is recorded after it was done, so that a crash repeats it; nothing is locked while a rotator works, and the
current value answers all the while.
"""

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import attrs
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from interpreters.conversions import accepted, micros
from interpreters.engine import Engine
from interpreters.outcome import Ask, Outcome
from interpreters.rotators import (
    GENERATED_ROTATOR,
    MANUAL_ROTATOR,
    Manual,
    NewValue,
    Rotator,
    Step,
    StepFailed,
    Task,
)
from ironsecrets.drafts import NewPending, NewRotation
from ironsecrets.errors import Fate, Refused, RotationFailed, VaultError
from ironsecrets.identifiers import Environment, RotatorName, SecretName
from ironsecrets.principals import Operator
from ironsecrets.reading import RevealValue
from ironsecrets.refusals import Refusal
from ironsecrets.rotation import (
    NO_POLICY,
    NO_ROTATION,
    STEPS,
    AbortRotation,
    FailRotation,
    FinishRotation,
    MarkAborted,
    MarkSet,
    MarkTested,
)
from ironsecrets.schedules import GENERATED, MANUAL, RotationPolicy, draw_bytes, generate
from ironsecrets.sealing import VALUE_TOO_LARGE
from ironsecrets.secrets import ROTATION_IN_PROGRESS, Rotation, Secret
from ironsecrets.sensitive import Sensitive

UNKNOWN_ROTATOR = Refusal("unknown-rotator", "no rotator of that name is configured here")
BY_HAND = Refusal("by-hand", "the value is rotated by hand: `rotation begin` takes the new one")

ATTEMPTS = 3
BUILT_IN: Mapping[str, Rotator] = {GENERATED: GENERATED_ROTATOR, MANUAL: MANUAL_ROTATOR}
_DEFAULTS = RotationPolicy(every=1)
_T = TypeVar("_T")
_Recorded = MarkSet | MarkTested | FinishRotation | AbortRotation | MarkAborted


@attrs.frozen(kw_only=True)
class Rotated:
    """A finished rotation: the version that is current now, and the one before."""

    name: SecretName
    environment: Environment
    version: int
    previous: int


@attrs.frozen(kw_only=True)
class Driver:
    """Drives rotations for an operator, with the rotators that this host has by name."""

    engine: Engine
    operator: Operator
    rotators: Mapping[str, Rotator] = attrs.field(factory=dict[str, Rotator])
    attempts: int = ATTEMPTS
    sleep: Callable[[float], None] = time.sleep

    def rotator(self, name: str) -> Rotator | None:
        """The rotator of this name, or None."""
        return self.rotators.get(name) or BUILT_IN.get(name)

    def rotate(self, name: SecretName, environment: Environment, rotator: RotatorName | None = None) -> Rotated:
        """Rotate a value, or finish a rotation that was begun, by its policy's rotator or by this one.

        One that is being put back is put back, and another begun. Raises :class:`ironsecrets.Refused`
        (``no-policy``, ``unknown-rotator``, ``by-hand``, ``rotation-in-progress``, those of the steps) and
        :class:`ironsecrets.RotationFailed`.
        """
        secret = self.secret(name, environment)
        if secret.rotation is not None:
            if rotator not in (None, secret.rotation.rotator):
                raise Refused(ROTATION_IN_PROGRESS, name)
            done = self.resume(name, environment)
            if done is not None:
                return done
        chosen = rotator or (None if secret.policy is None else secret.policy.rotator)
        if chosen is None:
            raise Refused(NO_POLICY, name)
        self._working(chosen, name)
        self.ask(NewRotation(name=name, environment=environment, rotator=chosen), name)
        done = self.resume(name, environment)
        if done is None:
            raise Refused(NO_ROTATION, name)
        return done

    def resume(self, name: SecretName, environment: Environment) -> Rotated | None:
        """Go on with a rotation to its end: finished, or None where it was put back."""
        secret = self.secret(name, environment)
        begun = secret.rotation
        if begun is None:
            raise Refused(NO_ROTATION, name)
        runner = self._working(begun.rotator, name)
        previous = secret.current
        while (now := secret.rotation) is not None and now.id == begun.id:
            self._step(secret, now, runner)
            secret = self.secret(name, environment)
        if secret.current == previous:
            return None
        return Rotated(name=name, environment=environment, version=secret.current, previous=previous)

    def abort(self, name: SecretName, environment: Environment, *, force: bool = False) -> None:
        """Give a rotation up: its rotator puts the outside back, then the pending value is erased.

        ``force`` leaves the rotator out. Raises :class:`ironsecrets.RotationFailed` where the rotator cannot say
        that the outside is as it was: erasing the pending value could then lose the one that works.
        """
        secret = self.secret(name, environment)
        begun = secret.rotation
        if begun is None:
            raise Refused(NO_ROTATION, name)
        runner = MANUAL_ROTATOR if force else self.rotator(begun.rotator)
        if runner is None:
            raise Refused(UNKNOWN_ROTATOR, begun.rotator)
        if begun.step != "abort":
            self._record(AbortRotation, secret, begun)
            secret = self.secret(name, environment)
        if secret.rotation is not None:
            self._step(secret, secret.rotation, runner)

    def ask(self, ask: Ask, about: str) -> Outcome:
        """Decide and record one command, or raise :class:`ironsecrets.Refused`."""
        return accepted(self.engine.execute(self.operator, ask), about)

    def secret(self, name: SecretName, environment: Environment) -> Secret:
        """The secret as it is now, in any process."""
        self.engine.check_usable()
        with self.engine.lock:
            self.engine.catch_up()
            return accepted(self.engine.state.secrets.live(environment, name), name)

    def _working(self, rotator: str, name: str) -> Rotator:
        found = self.rotator(rotator)
        if found is None:
            raise Refused(UNKNOWN_ROTATOR, rotator)
        if isinstance(found, Manual):
            raise Refused(BY_HAND, name)
        return found

    def _step(self, secret: Secret, begun: Rotation, runner: Rotator) -> None:
        try:
            match STEPS[begun.step]:
                case "create":
                    made = self._done(secret, begun, "create", runner.create)
                    with made.value:
                        self._keep(secret, begun, made)
                case "set":
                    self._done(secret, begun, "set", runner.set)
                    self._record(MarkSet, secret, begun)
                case "test":
                    self._done(secret, begun, "test", runner.test)
                    self._record(MarkTested, secret, begun)
                case "finish":
                    self._done(secret, begun, "finish", runner.finish)
                    self._record(FinishRotation, secret, begun)
                case "abort":
                    self._done(secret, begun, "abort", runner.abort)
                    self._record(MarkAborted, secret, begun)
        except StepFailed as failure:
            raise self._failed(secret, begun, runner, failure) from None

    def _record(self, kind: type[_Recorded], secret: Secret, begun: Rotation) -> None:
        self.ask(kind(environment=secret.environment, name=secret.name, rotation=begun.id), secret.name)

    def _keep(self, secret: Secret, begun: Rotation, made: NewValue) -> None:
        try:
            self.ask(
                NewPending(
                    name=secret.name,
                    environment=secret.environment,
                    rotation=begun.id,
                    value=made.value,
                    expires_in=micros(made.expires_in),
                ),
                secret.name,
            )
        except Refused as refused:
            if refused.refusal != VALUE_TOO_LARGE:
                raise
            raise StepFailed("bad-output", "too long") from None

    def _done(self, secret: Secret, begun: Rotation, step: Step, run: Callable[[Task], _T]) -> _T:
        """Run one step, again after a pause if it fails, but not if it takes too long."""
        again = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, StepFailed) and error.reason == "failed"),
            stop=stop_after_attempt(self.attempts),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            sleep=self.sleep,
            reraise=True,
        )
        return again(self._once, secret, begun, step, run)

    def _once(self, secret: Secret, begun: Rotation, step: Step, run: Callable[[Task], _T]) -> _T:
        with self._task(secret, begun, step) as task:
            try:
                return run(task)
            except Exception as error:
                # What the store does is no failure of the rotator; of what else it raises, only the kind is told,
                # since the text may hold a value.
                if isinstance(error, StepFailed) or (isinstance(error, VaultError) and not isinstance(error, Refused)):
                    raise
                raise StepFailed("failed", type(error).__name__) from None

    def _task(self, secret: Secret, begun: Rotation, step: Step) -> Task:
        policy, pending = secret.policy or _DEFAULTS, begun.version

        def random() -> Sensitive:
            draw = self.engine.entropy.draw(draw_bytes(policy.length, policy.alphabet))
            return Sensitive(generate(policy.length, policy.alphabet, draw))

        return Task(
            name=secret.name,
            environment=secret.environment,
            rotation=begun.id,
            step=step,
            current=lambda: self._reveal(secret, secret.current),
            pending=None if pending is None else lambda: self._reveal(secret, pending),
            generate=random,
        )

    def _reveal(self, secret: Secret, version: int) -> Sensitive:
        asked = RevealValue(environment=secret.environment, name=secret.name, version=version)
        return self.ask(asked, secret.name).disclosed or Sensitive(b"")

    def _failed(self, secret: Secret, begun: Rotation, runner: Rotator, failure: StepFailed) -> RotationFailed:
        """Record the failure first: what an abort does outside must not be forgotten by a crash."""
        step = STEPS[begun.step]
        self.ask(
            FailRotation(
                environment=secret.environment,
                name=secret.name,
                reason=failure.reason,
                rotation=begun.id,
                step=step,
            ),
            secret.name,
        )
        after = self.secret(secret.name, secret.environment)
        fate: Fate = "aborting" if after.rotation is not None and after.rotation.step == "abort" else "kept"
        # What still runs could undo what an abort puts back: that waits until it has ended.
        if fate == "aborting" and step != "abort" and after.rotation is not None and not failure.lingering:
            try:
                self._step(after, after.rotation, runner)
            except RotationFailed:
                pass
            else:
                fate = "aborted"
        about = f"{secret.name} in {secret.environment}"
        return RotationFailed(about, step, failure.reason, failure.detail, fate=fate)
