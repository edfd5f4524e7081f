"""Rotating a value: the four steps of AWS Secrets Manager as a state machine.

    start -> create -> set -> test -> finish
    from any of them: abort -> aborted        a step that fails: abort, or back to set, as the policy says

``start`` opens the rotation before anything happens outside, so that two of one secret cannot interleave and a
crash leaves a trace. ``create`` makes a pending version, ``set`` records that the outside has it, ``test`` that it
works there, and ``finish`` moves the labels: pending becomes current, current becomes previous. Each step is a
command that names its rotation, and applies only after the one before it. Until ``finish`` the current version
answers. ``abort`` says, before anything is put back outside, that from now on there is no way but back, and
``aborted`` that the outside is as it was: only then is the pending version erased.
"""

from typing import Literal

import attrs
from returns.result import Failure, Result, Success

from ironsecrets.effects import Effect, EraseRecord, KeepRecord
from ironsecrets.frozen import evolve
from ironsecrets.identifiers import (
    DigestField,
    EnvironmentField,
    Micros,
    Ordinal,
    PersonName,
    RotationIdField,
    RotatorNameField,
    SecretIdField,
    SecretNameField,
)
from ironsecrets.refusals import Refusal
from ironsecrets.schedules import RotationPolicy, check
from ironsecrets.secrets import (
    ROTATION_IN_PROGRESS,
    Changed,
    Failed,
    FailureReason,
    Rotation,
    Secret,
    Secrets,
    follows,
    new_version,
    outlived,
    without,
)

NO_ROTATION = Refusal("no-rotation", "no such rotation is in progress")
WRONG_STEP = Refusal("wrong-step", "the rotation is at another step; its steps are create, set, test and finish")
NO_POLICY = Refusal("no-policy", "the secret has no rotation policy")

STEPS: dict[str, Literal["create", "set", "test", "finish", "abort"]] = {
    "start": "create",
    "create": "set",
    "set": "test",
    "test": "finish",
    "abort": "abort",
}
"""What is to be done next, by where a rotation stands."""


@attrs.frozen(kw_only=True)
class SetRotation:
    """From now on, rotate a secret's value by ``policy``."""

    environment: EnvironmentField
    name: SecretNameField
    policy: RotationPolicy
    type: Literal["set-rotation"] = "set-rotation"


@attrs.frozen(kw_only=True)
class ClearRotation:
    """From now on, rotate a secret's value only when somebody asks."""

    environment: EnvironmentField
    name: SecretNameField
    type: Literal["clear-rotation"] = "clear-rotation"


@attrs.frozen(kw_only=True)
class StartRotation:
    """Begin to rotate a value, by this rotator."""

    environment: EnvironmentField
    name: SecretNameField
    rotation: RotationIdField
    rotator: RotatorNameField
    type: Literal["rotation-start"] = "rotation-start"


@attrs.frozen(kw_only=True)
class CreatePending:
    """The new value, already sealed: ``digest`` is that of its record. Nobody's current value changes."""

    digest: DigestField
    environment: EnvironmentField
    epoch: Ordinal
    expires_at: Micros | None = None
    name: SecretNameField
    rotation: RotationIdField
    secret: SecretIdField
    type: Literal["rotation-create"] = "rotation-create"
    version: Ordinal


@attrs.frozen(kw_only=True)
class MarkSet:
    """The outside has the pending value."""

    environment: EnvironmentField
    name: SecretNameField
    rotation: RotationIdField
    type: Literal["rotation-set"] = "rotation-set"


@attrs.frozen(kw_only=True)
class MarkTested:
    """The pending value works there."""

    environment: EnvironmentField
    name: SecretNameField
    rotation: RotationIdField
    type: Literal["rotation-test"] = "rotation-test"


@attrs.frozen(kw_only=True)
class FinishRotation:
    """Move the labels: pending becomes current, current becomes previous."""

    environment: EnvironmentField
    name: SecretNameField
    rotation: RotationIdField
    type: Literal["rotation-finish"] = "rotation-finish"


@attrs.frozen(kw_only=True)
class FailRotation:
    """A step failed. What the outside holds is not known now: the rotation aborts, or is kept and set again, as its
    policy says (without one it aborts). A failed abort is tried again.
    """

    environment: EnvironmentField
    name: SecretNameField
    reason: FailureReason
    rotation: RotationIdField
    step: Literal["create", "set", "test", "finish", "abort"]
    type: Literal["rotation-fail"] = "rotation-fail"


@attrs.frozen(kw_only=True)
class AbortRotation:
    """Give a rotation up: from now on things are only put back."""

    environment: EnvironmentField
    name: SecretNameField
    rotation: RotationIdField
    type: Literal["rotation-abort"] = "rotation-abort"


@attrs.frozen(kw_only=True)
class MarkAborted:
    """The outside is as it was: erase the pending version and leave everything as before the rotation."""

    environment: EnvironmentField
    name: SecretNameField
    rotation: RotationIdField
    type: Literal["rotation-aborted"] = "rotation-aborted"


StepCommand = CreatePending | MarkSet | MarkTested | FinishRotation | FailRotation | AbortRotation | MarkAborted
RotationCommand = SetRotation | ClearRotation | StartRotation | StepCommand


def change(secrets: Secrets, at: int, by: PersonName, command: RotationCommand) -> Changed:
    """Refusals: ``no-secret``, ``secret-deleted``, ``bad-schedule``, ``bad-generator``, ``no-policy``,
    ``rotation-in-progress``, ``no-rotation``, ``wrong-step``, ``stale-version``, ``too-many-versions``.
    """
    return secrets.live(command.environment, command.name).bind(
        lambda secret: _changed(secret, at, by, command).map(lambda made: (secrets.keep(made[0]), made[1]))
    )


_Made = Result[tuple[Secret, tuple[Effect, ...]], Refusal]


def _changed(secret: Secret, at: int, by: PersonName, command: RotationCommand) -> _Made:
    match command:
        case SetRotation(policy=policy):
            return check(policy).map(lambda good: (evolve(secret, policy=good), ()))
        case ClearRotation():
            if secret.policy is None:
                return Failure(NO_POLICY)
            return Success((evolve(secret, policy=None), ()))
        case StartRotation():
            if secret.rotation is not None:
                return Failure(ROTATION_IN_PROGRESS)
            begun = Rotation(id=command.rotation, rotator=command.rotator, started_at=at)
            return Success((evolve(secret, rotation=begun), ()))
        case _:
            if secret.rotation is None or secret.rotation.id != command.rotation:
                return Failure(NO_ROTATION)
            return _stepped(secret, secret.rotation, at, by, command)


def _stepped(secret: Secret, rotation: Rotation, at: int, by: PersonName, command: StepCommand) -> _Made:
    upcoming = STEPS[rotation.step]
    match command:
        case AbortRotation() if upcoming != "abort":
            return Success((evolve(secret, rotation=evolve(rotation, step="abort")), ()))
        case MarkAborted() if upcoming == "abort":
            return Success(_aborted(secret, rotation, at))
        case FailRotation(step=step) if step == upcoming:
            return Success(_failed(secret, rotation, at, command))
        case CreatePending() if upcoming == "create":
            return follows(secret, command).map(lambda _: _created(secret, rotation, at, by, command))
        case MarkSet() if upcoming == "set":
            return Success((evolve(secret, rotation=evolve(rotation, step="set")), ()))
        case MarkTested() if upcoming == "test":
            return Success((evolve(secret, rotation=evolve(rotation, step="test")), ()))
        case FinishRotation() if upcoming == "finish" and rotation.version is not None:
            return Success(_finished(secret, rotation.version, at))
        case _:
            return Failure(WRONG_STEP)


def _created(
    secret: Secret, rotation: Rotation, at: int, by: PersonName, command: CreatePending
) -> tuple[Secret, tuple[Effect, ...]]:
    versions = (*secret.versions, new_version(at, by, command))
    made = evolve(rotation, step="create", version=command.version)
    effect = KeepRecord(command.secret, command.version, command.digest)
    return evolve(secret, versions=versions, rotation=made), (effect,)


def _finished(secret: Secret, pending: int, at: int) -> tuple[Secret, tuple[Effect, ...]]:
    left, erased = outlived(secret, at)
    return left.promoted(pending, at), erased


def _aborted(secret: Secret, rotation: Rotation, at: int) -> tuple[Secret, tuple[Effect, ...]]:
    left = evolve(secret, rotation=None)
    if rotation.version is None:
        return left, ()
    return without(left, rotation.version, at), (EraseRecord(secret.id, rotation.version),)


def _failed(secret: Secret, rotation: Rotation, at: int, command: FailRotation) -> tuple[Secret, tuple[Effect, ...]]:
    count = 1 if secret.failed is None else secret.failed.count + 1
    keeps = command.step != "abort" and secret.policy is not None and secret.policy.on_failure == "keep"
    kept = evolve(rotation, step="start" if rotation.version is None else "create")
    return evolve(
        secret,
        failed=Failed(at=at, count=count, reason=command.reason, step=command.step),
        rotation=kept if keeps else evolve(rotation, step="abort"),
    ), ()
