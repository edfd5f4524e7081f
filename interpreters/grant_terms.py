"""What a grant asks for, as callers in Python and people on a command line write it."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypedDict, Unpack

import msgspec
from returns.result import Failure, Result, Success

from interpreters.conversions import MICROSECOND, accepted, micros, parse_span
from interpreters.time_zones import load_window
from ironsecrets.conditions import BAD_GRANT, Terms
from ironsecrets.principals import BAD_PERMISSION, parse_permissions
from ironsecrets.rates import BAD_RATE, RATE_BURST, Rate
from ironsecrets.refusals import Refusal


class TermOptions(TypedDict, total=False):
    """The terms of a grant.

    A lease lasts ``ttl`` (15 minutes), and may be asked for or renewed up to ``max_ttl`` (``ttl``). The grant begins
    at ``not_before`` (an aware datetime; now) and ends after ``expires_in`` (never) or ``uses`` leases (any number).
    ``rate`` is how often it may be used, such as ``10/1m``: ten at once, and then one every six seconds; ``windows``
    are the hours in which it may be, such as ``Mon-Fri 08:00-18:00 Europe/Berlin``; ``permission`` is what the
    agent's token must carry, such as ``llm:call``.
    """

    ttl: timedelta
    max_ttl: timedelta | None
    expires_in: timedelta | None
    not_before: datetime | None
    uses: int | None
    rate: str | Rate | None
    windows: Sequence[str]
    permission: str | None


def terms_of(now: int, **options: Unpack[TermOptions]) -> Terms:
    """The terms as a value of the core; ``now`` says which rule of a zone is in force.

    Raises :class:`ironsecrets.Refused`: ``bad-rate``, ``bad-window``, ``bad-zone``, ``bad-permission``, ``bad-grant``.
    """
    ttl = options.get("ttl", timedelta(minutes=15))
    max_ttl = options.get("max_ttl")
    rate, permission, not_before = options.get("rate"), options.get("permission"), options.get("not_before")
    windows = options.get("windows", ())
    if permission is not None and not isinstance(parse_permissions([permission]), Success):
        accepted(Failure(BAD_PERMISSION))
    return Terms(
        default_ttl=ttl // MICROSECOND,
        expires_in=micros(options.get("expires_in")),
        maximum_ttl=(ttl if max_ttl is None else max_ttl) // MICROSECOND,
        not_before=None if not_before is None else _since_epoch(not_before),
        permission=permission,
        rate=accepted(parse_rate(rate)) if isinstance(rate, str) else rate,
        uses=options.get("uses"),
        # One text would be taken for a sequence of letters.
        windows=tuple(accepted(load_window(one, now)) for one in ([windows] if isinstance(windows, str) else windows)),
    )


def parse_rate(text: str) -> Result[Rate, Refusal]:
    """A rate as people write it: ``10/1m``, or ``10/1m burst 3``. Without a burst it is the count, up to 10,000.

    Refusals: ``bad-rate``.
    """
    found = re.fullmatch(r"([1-9][0-9]{0,6})/([1-9][0-9]*[smhdw])(?: burst ([1-9][0-9]{0,4}))?", text, re.ASCII)
    per = None if found is None else parse_span(found[2])
    if found is None or per is None:
        return Failure(BAD_RATE)
    count = int(found[1])
    burst = min(count, RATE_BURST) if found[3] is None else int(found[3])
    try:
        return Success(msgspec.convert({"burst": burst, "count": count, "per": per // MICROSECOND}, Rate))
    except msgspec.ValidationError:
        return Failure(BAD_RATE)


def _since_epoch(moment: datetime) -> int:
    if moment.tzinfo is None:
        accepted(Failure(BAD_GRANT), "not_before needs a time zone")
    return int(moment.timestamp() * 1_000_000)
