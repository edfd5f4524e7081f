"""Windows: the hours of the week in which a grant may be used, in a zone's local time.

As people write it: ``Mon-Fri 08:00-18:00 Europe/Berlin``; ``Sat,Sun 22:00-06:00 UTC`` runs over midnight and
belongs to the day on which it opens; ``daily 00:00-24:00 Asia/Tokyo``. The moment of closing is outside.
"""

import re
from typing import Annotated

import attrs
import msgspec
from returns.result import Failure, Result, Success

from ironsecrets.refusals import Refusal
from ironsecrets.zones import Zone, check

BAD_WINDOW = Refusal(
    "bad-window", "a window is days, hours and a zone: 'Mon-Fri 08:00-18:00 Europe/Berlin'; 'daily' is every day"
)

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_ALL = (1, 2, 3, 4, 5, 6, 7)
_DAY = "|".join(DAYS)
_TEXT = re.compile(
    rf"(?P<days>daily|(?:{_DAY})(?:-(?:{_DAY}))?(?:,(?:{_DAY})(?:-(?:{_DAY}))?){{0,6}})"
    r" (?P<opens>[0-9]{2}:[0-9]{2})-(?P<closes>[0-9]{2}:[0-9]{2}) (?P<zone>[A-Za-z0-9_+/-]{1,64})"
)

Weekday = Annotated[int, msgspec.Meta(ge=1, le=7)]
"""As ISO 8601 counts them: Monday is 1."""


@attrs.frozen(kw_only=True)
class Hours:
    """Days of the week, and minutes of the day from ``opens`` until before ``closes``, without the zone's rule."""

    closes: int
    days: tuple[int, ...]
    opens: int
    zone: str


@attrs.frozen(kw_only=True)
class Window:
    """Open on ``days`` from minute ``opens`` until before minute ``closes``, by the local time of ``zone``.

    Where ``closes`` is not after ``opens`` it runs over midnight.
    """

    closes: Annotated[int, msgspec.Meta(ge=1, le=1440)]
    days: Annotated[tuple[Weekday, ...], msgspec.Meta(min_length=1, max_length=7)]
    opens: Annotated[int, msgspec.Meta(ge=0, le=1439)]
    zone: Zone

    def is_open(self, at: int) -> bool:
        """Whether ``at`` (microseconds since the Unix epoch) is inside."""
        seconds = at // 1_000_000
        day, second = divmod(seconds + self.zone.offset(seconds), 86_400)
        today, minute = (day + 3) % 7 + 1, second // 60
        if self.opens < self.closes:
            return today in self.days and self.opens <= minute < self.closes
        yesterday = (day + 2) % 7 + 1
        return (today in self.days and minute >= self.opens) or (yesterday in self.days and minute < self.closes)

    def text(self) -> str:
        """As people write it; :func:`parse_hours` reads it back."""
        days = "daily" if self.days == _ALL else ",".join(_spans(self.days))
        return f"{days} {_clock(self.opens)}-{_clock(self.closes)} {self.zone.name}"


def check_window(window: Window) -> Result[Window, Refusal]:
    """The window, if it makes sense. Refusals: ``bad-window``, ``bad-zone``."""
    if window.opens == window.closes or window.days != tuple(sorted(set(window.days))):
        return Failure(BAD_WINDOW)
    return check(window.zone).map(lambda _: window)


def parse_hours(text: str) -> Result[Hours, Refusal]:
    """A window as people write it. Refusals: ``bad-window``."""
    found = _TEXT.fullmatch(text) if isinstance(text, str) and len(text) <= 160 else None  # pyright: ignore[reportUnnecessaryIsInstance]
    if found is None:
        return Failure(BAD_WINDOW)
    opens, closes = _minutes(found["opens"]), _minutes(found["closes"])
    if opens is None or closes is None or opens == 1440 or closes == 0 or opens == closes:
        return Failure(BAD_WINDOW)
    return Success(Hours(closes=closes, days=_days(found["days"]), opens=opens, zone=found["zone"]))


def _minutes(text: str) -> int | None:
    hour, minute = int(text[:2]), int(text[3:])
    return hour * 60 + minute if minute < 60 and hour * 60 + minute <= 1440 else None


def _days(text: str) -> tuple[int, ...]:
    if text == "daily":
        return _ALL
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        begin, end = DAYS.index(first), DAYS.index(last or first)
        found |= {(begin + step) % 7 + 1 for step in range((end - begin) % 7 + 1)}
    return tuple(sorted(found))


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _spans(days: tuple[int, ...]) -> list[str]:
    runs: list[list[int]] = []
    for day in days:
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return [DAYS[run[0] - 1] if len(run) == 1 else f"{DAYS[run[0] - 1]}-{DAYS[run[-1] - 1]}" for run in runs]
