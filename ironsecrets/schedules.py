"""When a value is due for another: rotation policies, provider presets, and the next moment of a policy.

A policy names a rotator and never says how to run it: a name means what the host's own configuration says, so
whoever can write to a vault cannot make its host run a program. Cron expressions are in UTC, as cronsim reads
them; no verdict in the log depends on that library, only on a policy's shape.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import attrs
import msgspec
from cronsim import CronSim, CronSimError
from returns.result import Failure, Result, Success

from ironsecrets.frozen import evolve
from ironsecrets.identifiers import LATEST_TIME, RotatorName, RotatorNameField, Span, parse_rotator_name
from ironsecrets.refusals import Refusal

ALPHABETS = {
    "alphanumeric": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
    "base64url": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
    "hex": "0123456789abcdef",
    "printable": "".join(map(chr, range(0x21, 0x7F))),
}
"""Alphabets by name."""

GENERATED, MANUAL = "generated", "manual"
"""The rotators that every host has."""

LEAST_BITS = 64
MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

BAD_SCHEDULE = Refusal(
    "bad-schedule",
    "a rotation policy needs an interval of at least a minute, a cron expression of five fields (UTC), or a time"
    " before the value's expiry",
)
BAD_GENERATOR = Refusal(
    "bad-generator", "a generated value needs different characters and at least 64 bits: a longer one, or more of them"
)

CRON_PATTERN = r"\A[0-9A-Z*,/#-]+(?: [0-9A-Z*,/#-]+){4}\Z"
CronField = Annotated[str, msgspec.Meta(pattern=CRON_PATTERN, max_length=120)]
AlphabetField = Annotated[str, msgspec.Meta(pattern=r"\A[ -~]{2,95}\Z")]
LengthField = Annotated[int, msgspec.Meta(ge=1, le=4096)]
Pause = Annotated[int, msgspec.Meta(ge=0, le=LATEST_TIME)]
"""A length of time in microseconds, possibly none."""


@attrs.frozen(kw_only=True)
class RotationPolicy:
    """When a value is rotated, by which rotator, and what becomes of the one before.

    Due ``every`` so many microseconds after a value became current, at the next time of ``cron``, or
    ``before_expiry`` microseconds before the value expires: whichever of those that are set comes first. The
    previous version answers for ``overlap`` microseconds more, and is then destroyed if ``destroy_previous``.
    When a step fails, ``on_failure`` aborts the rotation or keeps it pending to be tried again. ``length`` and
    ``alphabet`` are for generated values.
    """

    alphabet: AlphabetField = ALPHABETS["alphanumeric"]
    before_expiry: Pause | None = None
    cron: CronField | None = None
    destroy_previous: bool = False
    every: Span | None = None
    length: LengthField = 32
    on_failure: Literal["abort", "keep"] = "abort"
    overlap: Pause = 0
    rotator: RotatorNameField = RotatorName(MANUAL)


PRESETS: dict[str, RotationPolicy] = {
    "llm-api-key": RotationPolicy(every=90 * DAY, overlap=DAY),
    "database-password": RotationPolicy(every=30 * DAY),
    "oauth-token": RotationPolicy(before_expiry=5 * MINUTE),
}
"""What is usual: LLM API keys every 90 days, database passwords every 30, OAuth tokens when they expire."""


def check(policy: RotationPolicy) -> Result[RotationPolicy, Refusal]:
    """The policy, if it makes sense. Refusals: ``bad-schedule``, ``bad-generator``."""
    if policy.every is None and policy.cron is None and policy.before_expiry is None:
        return Failure(BAD_SCHEDULE)
    if policy.every is not None and policy.every < MINUTE:
        return Failure(BAD_SCHEDULE)
    letters = len(policy.alphabet)
    if len(set(policy.alphabet)) != letters or letters**policy.length < 2**LEAST_BITS:
        return Failure(BAD_GENERATOR)
    return Success(policy)


def parse_policy(policy: RotationPolicy) -> Result[RotationPolicy, Refusal]:
    """The policy with its cron expression in canonical spelling, if it makes sense and fires at some time.

    Refusals: ``bad-schedule``, ``bad-generator``, ``bad-rotator``.
    """
    spans = (policy.every, policy.before_expiry, policy.overlap)
    if any(span is not None and not 0 <= span <= LATEST_TIME for span in spans):
        return Failure(BAD_SCHEDULE)
    if not 1 <= policy.length <= 4096 or re.fullmatch(r"[ -~]{2,95}", policy.alphabet) is None:
        return Failure(BAD_GENERATOR)
    named = parse_rotator_name(policy.rotator)
    if policy.cron is None:
        return named.bind(lambda _: check(policy))
    cron = parse_cron(policy.cron)
    return named.bind(lambda _: cron).bind(lambda spelled: check(evolve(policy, cron=spelled)))


def parse_cron(text: str) -> Result[str, Refusal]:
    """A cron expression that fires at some time, in its canonical spelling. Refusal: ``bad-schedule``."""
    spelled = " ".join(text.upper().split())
    shaped = len(spelled) <= 120 and re.match(CRON_PATTERN, spelled) is not None
    return Success(spelled) if shaped and _fires(spelled, 0) is not None else Failure(BAD_SCHEDULE)


def _fires(cron: str, after: int) -> int | None:
    try:
        found = next(CronSim(cron, _EPOCH + timedelta(microseconds=after)))
    except (CronSimError, StopIteration, OverflowError, ValueError):
        return None
    return (found - _EPOCH) // timedelta(microseconds=1)


def next_moment(policy: RotationPolicy, *, current_since: int, expires_at: int | None) -> int | None:
    """When a value that is current since then is due, in microseconds; None where that never comes."""
    moments: list[int] = []
    if policy.every is not None:
        moments.append(current_since + policy.every)
    if policy.cron is not None and (fires := _fires(policy.cron, current_since)) is not None:
        moments.append(fires)
    if policy.before_expiry is not None and expires_at is not None:
        # At least a minute later, or a value that lasts less than that would be rotated without end.
        moments.append(max(current_since + MINUTE, expires_at - policy.before_expiry))
    return min(moments, default=None)


def generate(length: int, alphabet: str, draw: bytes) -> str:
    """``length`` characters of ``alphabet``, from random bytes: at least :func:`draw_bytes` of them.

    The simple modular method (SP 800-90A appendix A.5.3): 64 bits more than needed keep the bias under 2^-64.
    """
    number = int.from_bytes(draw, "big")
    letters: list[str] = []
    for _ in range(length):
        number, at = divmod(number, len(alphabet))
        letters.append(alphabet[at])
    return "".join(letters)


def draw_bytes(length: int, alphabet: str) -> int:
    """How many random bytes :func:`generate` needs."""
    return ((len(alphabet) ** length).bit_length() + 64 + 7) // 8
