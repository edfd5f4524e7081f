"""Zone data: a zone's name becomes the value that stands in a grant (:mod:`ironsecrets.zones`).

The data is the machine's, found as :mod:`zoneinfo` finds it, or that of the ``tzdata`` package: TZif files, RFC 9636.
"""

import io
import struct
import zoneinfo
from collections.abc import Sequence
from importlib import resources
from itertools import pairwise
from pathlib import Path

from returns.result import Failure, Result, Success

from ironsecrets.refusals import Refusal
from ironsecrets.windows import Window, parse_hours
from ironsecrets.zones import BAD_ZONE, SHIFT_LIMIT, Shift, Zone, is_rule, is_zone_name, rule_offset

_HEADER = struct.Struct(">4s1s15x6L")
_SAMPLE = 7 * 86_400

Transitions = Sequence[tuple[int, int]]


def load_window(text: str, now: int) -> Result[Window, Refusal]:
    """A window as people write it, with its zone's rule as of ``now`` (microseconds). Refusals: ``bad-window``,
    ``bad-zone``."""
    return parse_hours(text).bind(
        lambda hours: load_zone(hours.zone, now).map(
            lambda zone: Window(closes=hours.closes, days=hours.days, opens=hours.opens, zone=zone)
        )
    )


def load_zone(name: str, now: int) -> Result[Zone, Refusal]:
    """The zone of this name, good from ``now`` (microseconds) on. Refusals: ``bad-zone``."""
    raw = _data(name) if is_zone_name(name) else None
    if raw is None:
        return Failure(BAD_ZONE)
    try:
        transitions, rule = read_tzif(raw)
        shifts = _shifts(transitions, rule, now // 1_000_000) if is_rule(rule) else None
    except (struct.error, IndexError, UnicodeDecodeError, ValueError):
        return Failure(BAD_ZONE)
    if shifts is None or len(shifts) > SHIFT_LIMIT:
        return Failure(BAD_ZONE)
    return Success(Zone(name=name, rule=rule, shifts=shifts))


def _data(name: str) -> bytes | None:
    for folder in zoneinfo.TZPATH:
        file = Path(folder) / name
        if file.is_file():
            return file.read_bytes()
    package, _, file_name = ("tzdata.zoneinfo." + name.replace("/", ".")).rpartition(".")
    try:
        return (resources.files(package) / file_name).read_bytes()
    except (OSError, ImportError):
        return None


def read_tzif(raw: bytes) -> tuple[Transitions, str]:
    """The transitions of a TZif file (moment and offset after it, in seconds) and its footer's rule.

    RFC 9636 section 3: version 2 and later hold everything a second time with 64-bit moments, and a footer.
    """
    file = io.BytesIO(raw)
    magic, version, *counts = _HEADER.unpack(file.read(_HEADER.size))
    if magic != b"TZif" or version < b"2":
        raise ValueError("not a TZif file of version 2 or later")
    file.seek(_body_size(counts, 4), io.SEEK_CUR)
    _, _, *counts = _HEADER.unpack(file.read(_HEADER.size))
    _, _, _, times, types, _ = counts
    moments = struct.unpack(f">{times}q", file.read(8 * times))
    kinds = file.read(times)
    offsets = [struct.unpack(">lBB", file.read(6))[0] for _ in range(types)]
    start = 2 * _HEADER.size + _body_size(_HEADER.unpack(raw[: _HEADER.size])[2:], 4) + _body_size(counts, 8)
    rule = raw[start:].strip(b"\n").decode("ascii")
    first = (-(2**62), offsets[0])
    return [first, *zip(moments, (offsets[kind] for kind in kinds), strict=True)], rule


def _body_size(counts: Sequence[int], width: int) -> int:
    ut, standard, leaps, times, types, characters = counts
    return times * (width + 1) + types * 6 + characters + leaps * (width + 4) + standard + ut


def _shifts(transitions: Transitions, rule: str, now: int) -> tuple[Shift, ...]:
    """The offsets from ``now`` on, until the last moment at which the rule alone would be wrong.

    After the last transition of a file its rule holds; what lies before is kept as far as the rule disagrees.
    """
    pieces = [(max(begin, now), offset, end) for (begin, offset), (end, _) in pairwise(transitions) if end > now]
    while pieces and _agrees(rule, *pieces[-1]):
        pieces.pop()
    if not pieces:
        return ()
    end = pieces[-1][2]
    return (
        *(Shift(at=begin, offset=offset) for begin, offset, _ in pieces),
        Shift(at=end, offset=rule_offset(rule, end)),
    )


def _agrees(rule: str, begin: int, offset: int, end: int) -> bool:
    return all(rule_offset(rule, moment) == offset for moment in (*range(begin, end, _SAMPLE), end - 1))
