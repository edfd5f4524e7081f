"""What the ``rotation`` commands print."""

from typing import Any

from interpreters.cli.output import span, stamp
from interpreters.conversions import when
from interpreters.scheduler import Pass
from interpreters.value_rotation import Rotated
from ironsecrets.agenda import Due
from ironsecrets.schedules import MANUAL, RotationPolicy
from ironsecrets.secrets import Secret

HELD = "overdue by more than a year: is the clock right? then run with --accept-clock"


def policy_data(policy: RotationPolicy) -> dict[str, Any]:
    """A policy for programs: times in seconds."""
    return {
        "every": _seconds(policy.every),
        "cron": policy.cron,
        "before_expiry": _seconds(policy.before_expiry),
        "overlap": _seconds(policy.overlap),
        "rotator": policy.rotator,
        "length": policy.length,
        "alphabet": policy.alphabet,
        "destroy_previous": policy.destroy_previous,
        "on_failure": policy.on_failure,
    }


def _seconds(micros: int | None) -> float | None:
    return None if micros is None else micros / 1_000_000


def in_words(policy: RotationPolicy) -> str:
    """A policy for people."""
    parts: list[str] = []
    if policy.every is not None:
        parts.append(f"every {span(policy.every)}")
    if policy.cron is not None:
        parts.append(f"at {policy.cron} UTC")
    if policy.before_expiry is not None:
        parts.append(f"{span(policy.before_expiry)} before it expires" if policy.before_expiry else "when it expires")
    said = f"{' or '.join(parts)}, {policy.rotator}"
    if policy.overlap:
        said += f", overlap {span(policy.overlap)}"
    return said + (", previous is destroyed" if policy.destroy_previous else "")


def due_data(one: Due, now: int) -> dict[str, Any]:
    """Something due, for programs."""
    return {
        "name": one.name,
        "environment": one.environment,
        "what": one.kind,
        "due_at": stamp(one.at),
        "not_before": stamp(one.after) if one.after else None,
        "rotator": one.rotator,
        "version": one.version,
        "held": one.held(now),
    }


def state_of(one: Due, now: int) -> str:
    """Why something that is due waits, for people."""
    if one.held(now):
        return HELD
    return f"tried again from {when(one.after)}" if one.after > now else ""


def rotation_data(secret: Secret) -> dict[str, Any] | None:
    """A rotation in progress, for programs."""
    begun = secret.rotation
    if begun is None:
        return None
    return {
        "id": begun.id,
        "rotator": begun.rotator,
        "started_at": stamp(begun.started_at),
        "step_done": begun.step,
        "pending": begun.version,
    }


def failed_data(secret: Secret) -> dict[str, Any] | None:
    """What failed last, for programs."""
    failed = secret.failed
    if failed is None:
        return None
    return {"at": stamp(failed.at), "times": failed.count, "step": failed.step, "reason": failed.reason}


def progress_of(secret: Secret) -> str:
    """Where a rotation stands, and what failed last, for people."""
    parts: list[str] = []
    if secret.rotation is not None:
        step = secret.rotation.step
        stands = {"start": "begun", "abort": "being put back"}.get(step, f"{step} done")
        parts.append(f"in progress, {stands}, by {secret.rotation.rotator}")
    if secret.failed is not None:
        times = "once" if secret.failed.count == 1 else f"{secret.failed.count} times"
        parts.append(f"failed {times}, last at {secret.failed.step} ({secret.failed.reason})")
    return "; ".join(parts)


def rotated_data(done: Rotated) -> dict[str, Any]:
    """A finished rotation, for programs."""
    return {
        "name": done.name,
        "environment": done.environment,
        "version": done.version,
        "previous": done.previous,
    }


def rotated_line(done: Rotated) -> str:
    """A finished rotation, for people."""
    return f"{done.name} in {done.environment}: version {done.version} is current, {done.previous} is previous"


def pass_data(done: Pass, now: int) -> dict[str, Any]:
    """A pass of the scheduler, for programs."""
    return {
        "led": done.led,
        "rotated": [rotated_data(one) for one in done.rotated],
        "failed": [str(error) for error in done.failed],
        "destroyed": [due_data(one, now) for one in done.destroyed],
        "reminders": [due_data(one, now) for one in done.reminders],
        "held": [due_data(one, now) for one in done.held],
        "left": done.left,
        "epoch": done.epoch,
        "next_at": stamp(done.next_at),
    }


def pass_lines(done: Pass) -> tuple[list[str], list[str]]:
    """A pass for people: what was done, and what somebody should look at."""
    news = [rotated_line(one) for one in done.rotated]
    news += [f"{due.name} in {due.environment}: version {due.version} destroyed" for due in done.destroyed]
    if done.epoch is not None:
        news.append(f"epoch {done.epoch} is current")
    warnings: list[str] = []
    for due in done.reminders:
        hint = "by hand" if due.rotator == MANUAL else f"by {due.rotator}, which is not configured here"
        warnings.append(f"{due.name} in {due.environment}: due since {when(due.at)}, rotated {hint}")
    warnings += [f"{due.name} in {due.environment}: {HELD}" for due in done.held]
    warnings += [str(error) for error in done.failed]
    if done.left:
        warnings.append(f"{done.left} more wait for the next pass")
    return news, warnings
