"""The agenda: what is due of values, and when next. What is run, and how, is an interpreter's.

Two things keep a clock that jumps, or a rotator that fails, from a storm: a failed attempt is tried again only
after a pause that doubles up to a day, and what is overdue by more than a year is held until somebody confirms,
since a clock that is wrong is likelier than a year's neglect.
"""

from collections.abc import Iterator
from typing import Literal

import attrs

from ironsecrets.identifiers import Environment, RotatorName, SecretName
from ironsecrets.schedules import DAY, MANUAL, MINUTE, next_moment
from ironsecrets.secrets import Secret, Secrets

HOLD = 366 * DAY
LONGEST_PAUSE = DAY

Kind = Literal["rotate", "resume", "destroy-previous"]


@attrs.frozen(kw_only=True)
class Due:
    """Something to do for one secret: from ``at`` on, but not before ``after``, where an attempt failed."""

    after: int
    at: int
    environment: Environment
    kind: Kind
    name: SecretName
    rotator: RotatorName
    version: int

    def ready(self, now: int) -> bool:
        """Whether it may be done at ``now``."""
        return now >= max(self.at, self.after)

    def held(self, now: int) -> bool:
        """Whether it is overdue by so much that somebody should confirm the clock first."""
        return self.kind != "resume" and now - self.at > HOLD


def pause(failures: int) -> int:
    """How long to wait after so many failures in a row: a minute, then twice as long each time, up to a day."""
    return min(MINUTE * 2 ** min(max(failures - 1, 0), 20), LONGEST_PAUSE)


def _after(secret: Secret) -> int:
    return 0 if secret.failed is None else secret.failed.at + pause(secret.failed.count)


def plans(secret: Secret) -> Iterator[Due]:
    """What is to come for one secret, in no order. A deleted secret has no plans."""
    if secret.deleted_at is not None:
        return
    rotator = RotatorName(MANUAL) if secret.policy is None else secret.policy.rotator
    if secret.rotation is not None:
        begun = secret.rotation
        yield _due(secret, "resume", begun.started_at, begun.rotator, begun.version or 0, _after(secret))
    elif secret.policy is not None:
        expires_at = secret.versions[secret.current - 1].expires_at
        at = next_moment(secret.policy, current_since=secret.current_since, expires_at=expires_at)
        if at is not None:
            yield _due(secret, "rotate", at, rotator, secret.current, _after(secret))
    ends = secret.previous_until
    if secret.policy is not None and secret.policy.destroy_previous and secret.previous is not None:
        at = secret.current_since if ends is None else ends
        yield _due(secret, "destroy-previous", at, rotator, secret.previous, 0)


def _due(secret: Secret, kind: Kind, at: int, rotator: RotatorName, version: int, after: int) -> Due:
    return Due(
        after=after,
        at=at,
        environment=secret.environment,
        kind=kind,
        name=secret.name,
        rotator=rotator,
        version=version,
    )


def agenda(secrets: Secrets) -> list[Due]:
    """Everything that is to come for all secrets, the earliest first."""
    found = [due for secret in secrets.by_id.values() for due in plans(secret)]
    return sorted(found, key=lambda due: (due.at, due.environment, due.name, due.kind))


def next_wake(secrets: Secrets, now: int) -> int | None:
    """The next moment after ``now`` at which something becomes ready; None where nothing will."""
    return min((moment for due in agenda(secrets) if (moment := max(due.at, due.after)) > now), default=None)
