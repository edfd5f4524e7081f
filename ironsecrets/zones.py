"""Time zones as values: what local time a moment has, decided by what stands in the log and by nothing else.

A zone's rules change when governments say so, and every machine has its own copy of them. So a zone enters a
command as its name with the rule that was in force when the command was made: the TZ string of POSIX.1-2017
section 8.3, as the footer of a TZif file holds it (RFC 9636 section 3.3), and beside it ``shifts``, the offsets
until the rule alone is right. Evaluating them is arithmetic, and the same for ever.
"""

import functools
import re
from bisect import bisect_right
from datetime import date
from typing import Annotated

import attrs
import msgspec
from returns.result import Failure, Result, Success

from ironsecrets.refusals import Refusal

BAD_ZONE = Refusal("bad-zone", "there is no such time zone with a rule that can be kept; write one like Europe/Berlin")

ZONE_PATTERN = r"\A[A-Za-z][A-Za-z0-9_+-]{0,31}(?:/[A-Za-z0-9_+-]{1,32}){0,2}\Z"
_NAME = r"(?:<[A-Za-z0-9+-]{3,15}>|[A-Za-z]{3,15})"
_TIME = r"[+-]?[0-9]{1,3}(?::[0-5][0-9]){0,2}"
_DATE = rf"M(?:[1-9]|1[0-2])\.[1-5]\.[0-6](?:/{_TIME})?"
RULE_PATTERN = rf"\A{_NAME}{_TIME}(?:{_NAME}(?:{_TIME})?,{_DATE},{_DATE})?\Z"
SHIFT_LIMIT = 256

_RULE = re.compile(
    rf"\A{_NAME}(?P<std>{_TIME})(?:{_NAME}(?P<dst>{_TIME})?,M(?P<begin>[^,]+),M(?P<end>[^,]+))?\Z", re.ASCII
)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_DAY = 86_400
_LAST = (date(9999, 12, 30).toordinal() - _EPOCH_DAY) * _DAY

ZoneName = Annotated[str, msgspec.Meta(pattern=ZONE_PATTERN, max_length=64)]
Offset = Annotated[int, msgspec.Meta(ge=-_DAY, le=_DAY)]
"""Seconds east of UTC."""


@attrs.frozen(kw_only=True)
class Shift:
    """From ``at`` (seconds since the Unix epoch) on, local time is ``offset`` seconds ahead of UTC."""

    at: Annotated[int, msgspec.Meta(ge=0, le=_LAST)]
    offset: Offset


@attrs.frozen(kw_only=True)
class Zone:
    """A zone's rule, and the shifts before it: they hold until the moment of the last, from which the rule does."""

    name: ZoneName
    rule: Annotated[str, msgspec.Meta(pattern=RULE_PATTERN, max_length=96)]
    shifts: Annotated[tuple[Shift, ...], msgspec.Meta(max_length=SHIFT_LIMIT)] = ()

    def offset(self, seconds: int) -> int:
        """How far local time is ahead of UTC, in seconds, at ``seconds`` since the Unix epoch."""
        seconds = min(max(seconds, 0), _LAST)
        if self.shifts and seconds < self.shifts[-1].at:
            before = bisect_right(self.shifts, seconds, key=lambda shift: shift.at)
            return self.shifts[max(before - 1, 0)].offset
        return rule_offset(self.rule, seconds)


@attrs.frozen
class _Summer:
    offset: int
    begin: tuple[int, int, int, int]
    end: tuple[int, int, int, int]


def check(zone: Zone) -> Result[Zone, Refusal]:
    """The zone, if its shifts are in the order of time. Refusals: ``bad-zone``."""
    moments = [shift.at for shift in zone.shifts]
    return Success(zone) if moments == sorted(set(moments)) else Failure(BAD_ZONE)


def is_zone_name(text: str) -> bool:
    """Whether ``text`` could be the name of a zone."""
    return len(text) <= 64 and re.match(ZONE_PATTERN, text) is not None


def is_rule(text: str) -> bool:
    """Whether ``text`` is a rule of the kind that is kept."""
    return len(text) <= 96 and re.match(RULE_PATTERN, text) is not None


def rule_offset(rule: str, seconds: int) -> int:
    """The offset that a POSIX TZ rule gives at a moment, both in seconds."""
    standard, summer = _parsed(rule)
    if summer is None:
        return standard
    year = date.fromordinal(_EPOCH_DAY + (seconds + standard) // _DAY).year
    begin, end = _switches(rule, year)
    if begin < end:
        return summer.offset if begin <= seconds < end else standard
    return standard if end <= seconds < begin else summer.offset


@functools.lru_cache(maxsize=256)
def _parsed(rule: str) -> tuple[int, _Summer | None]:
    found = _RULE.match(rule)
    if found is None:
        raise AssertionError
    # POSIX counts offsets west of UTC.
    standard = -_seconds(found["std"])
    if found["begin"] is None:
        return standard, None
    offset = standard + 3600 if found["dst"] is None else -_seconds(found["dst"])
    return standard, _Summer(offset, _switch(found["begin"]), _switch(found["end"]))


def _seconds(text: str) -> int:
    sign = -1 if text.startswith("-") else 1
    parts = [int(part) for part in text.lstrip("+-").split(":")]
    return sign * sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))


def _switch(text: str) -> tuple[int, int, int, int]:
    day, _, time = text.partition("/")
    month, week, weekday = (int(part) for part in day.split("."))
    return month, week, weekday, _seconds(time or "2")


@functools.lru_cache(maxsize=1024)
def _switches(rule: str, year: int) -> tuple[int, int]:
    standard, summer = _parsed(rule)
    if summer is None:
        raise AssertionError
    return _moment(year, summer.begin) - standard, _moment(year, summer.end) - summer.offset


def _moment(year: int, switch: tuple[int, int, int, int]) -> int:
    month, week, weekday, time = switch
    first = date(year, month, 1)
    following = first.toordinal() + 31
    month_end = (
        date.fromordinal(following).replace(day=1).toordinal()
        if following <= date.max.toordinal()
        else (date.max.toordinal() + 1)
    )
    day = first.toordinal() + (weekday - first.isoweekday()) % 7 + (week - 1) * 7
    while day >= month_end:
        day -= 7
    return (day - _EPOCH_DAY) * _DAY + time
