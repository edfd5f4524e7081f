"""Between the core's values and what callers in Python expect."""

import re
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from returns.result import Failure, Result, Success

from ironsecrets.errors import Refused
from ironsecrets.refusals import Refusal

MICROSECOND = timedelta(microseconds=1)
LONGEST_DAYS = 36500
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_T = TypeVar("_T")


def accepted(result: Result[_T, Refusal], about: str = "") -> _T:
    """The value, or :class:`Refused`. ``about`` may name what was asked for, never a value."""
    match result:
        case Success(value):
            return value
        case Failure(refusal):
            raise Refused(refusal, about)
        case _:
            raise AssertionError


def moment(micros: int) -> datetime:
    """A time of the log as an aware datetime in UTC."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)


def when(micros: int | None) -> str:
    """A time for people: UTC to the second; empty for None."""
    return "" if micros is None else moment(micros).strftime("%Y-%m-%d %H:%M:%SZ")


def micros_of(when: datetime) -> int:
    """The inverse of :func:`moment`, for any aware datetime."""
    return (when - datetime(1970, 1, 1, tzinfo=UTC)) // MICROSECOND


def parse_span(text: str) -> timedelta | None:
    """A length of time as people write it: ``90s``, ``15m``, ``12h``, ``30d`` or ``2w``; None where it is none."""
    matched = re.fullmatch(r"([1-9][0-9]{0,9})([smhdw])", text)
    if matched is None:
        return None
    seconds = int(matched[1]) * _UNITS[matched[2]]
    return timedelta(seconds=seconds) if seconds <= LONGEST_DAYS * 86400 else None


def micros(span: timedelta | None) -> int | None:
    """A length of time in whole microseconds."""
    return None if span is None else span // MICROSECOND
