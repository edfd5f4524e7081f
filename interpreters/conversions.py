"""Between the core's values and what callers in Python expect."""

from datetime import UTC, datetime, timedelta
from typing import TypeVar

from returns.result import Failure, Result, Success

from ironsecrets.errors import Refused
from ironsecrets.refusals import Refusal

MICROSECOND = timedelta(microseconds=1)
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


def micros(span: timedelta | None) -> int | None:
    """A length of time in whole microseconds."""
    return None if span is None else span // MICROSECOND
