"""Laws of rates and hours: never more than was allowed, never refused without need, by Python's own zone data."""

import zoneinfo
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from returns.result import Failure, Success

from interpreters.grant_terms import parse_rate
from interpreters.time_zones import load_window, load_zone
from ironsecrets.conditions import Conditions
from ironsecrets.conditions import check as check_conditions
from ironsecrets.rates import Rate, conforms, counted
from ironsecrets.windows import DAYS, Window, check_window, parse_hours
from ironsecrets.zones import BAD_ZONE, check
from properties import strategies as s
from properties.model import inside
from properties.worlds import EPOCH, SECOND

rates = st.builds(
    Rate,
    burst=st.integers(1, 5),
    count=st.integers(1, 7),
    per=st.sampled_from([1, 7, 1_000_000, 60_000_000, 86_400_000_000]),
)
ZONES = sorted(zoneinfo.available_timezones() - {"localtime"})


@given(rates, st.lists(st.integers(0, 90_000_000), min_size=1, max_size=60))
def test_no_span_of_time_sees_more_than_its_share(rate: Rate, gaps: list[int]) -> None:
    """In any span there are at most `burst` uses and one for each whole interval in it."""
    at, tat, used = 0, 0, list[int]()
    for gap in gaps:
        at += gap
        if conforms(rate, tat, at):
            tat = counted(rate, tat, at)
            used.append(at)
    for first, begin in enumerate(used):
        for last in range(first, len(used)):
            assert last - first + 1 <= rate.burst + (used[last] - begin) // rate.interval()


@given(rates, st.integers(0, 10**12))
def test_who_waits_is_served(rate: Rate, at: int) -> None:
    """After the whole burst, one interval buys exactly one use."""
    tat = 0
    for _ in range(rate.burst):
        assert conforms(rate, tat, at)
        tat = counted(rate, tat, at)
    assert not conforms(rate, tat, at)
    assert not conforms(rate, tat, at + rate.interval() - 1)
    at += rate.interval()
    assert conforms(rate, tat, at)
    assert not conforms(rate, counted(rate, tat, at), at)
    assert rate.interval() * rate.count >= rate.per


@given(st.integers(1, 999_999), st.sampled_from(["1s", "15m", "2h", "30d", "2w"]), st.none() | st.integers(1, 10_000))
def test_rates_are_read_as_they_are_written(count: int, per: str, burst: int | None) -> None:
    text = f"{count}/{per}" + ("" if burst is None else f" burst {burst}")
    rate = parse_rate(text).unwrap()
    assert (rate.count, rate.burst) == (count, burst or min(count, 10_000))


@given(st.text(max_size=40))
def test_garbage_is_no_rate_and_no_window(text: str) -> None:
    assert isinstance(parse_rate(text), Failure)
    assert isinstance(load_window(text, EPOCH), Failure)


_clock = st.integers(0, 1439)


@st.composite
def written_windows(draw: st.DrawFn, zone: st.SearchStrategy[str]) -> str:
    days = draw(
        st.just("daily") | st.sampled_from(DAYS) | st.tuples(st.sampled_from(DAYS), st.sampled_from(DAYS)).map("-".join)
    )
    opens, closes = draw(_clock), draw(_clock.filter(lambda minute: minute > 0) | st.just(1440))
    if opens == closes:
        closes = closes % 1440 + 1 if closes < 1440 else 1
    clock = [f"{minute // 60:02}:{minute % 60:02}" for minute in (opens, closes)]
    return f"{days} {clock[0]}-{clock[1]} {draw(zone)}"


@given(
    written_windows(st.sampled_from(ZONES)), st.integers(0, 3000), st.integers(0, 6), st.integers(0, SECOND), st.data()
)
def test_a_window_is_open_when_the_clock_on_the_wall_says_so(
    text: str, weeks: int, weekday: int, micro: int, data: st.DataObject
) -> None:
    """On each day of the week, and most often just where it opens or closes."""
    window = load_window(text, EPOCH).unwrap()
    edges = [window.opens, window.opens - 1, window.closes, window.closes - 1]
    minute = data.draw(st.sampled_from(edges) | st.integers(0, 1439))
    wall = datetime(2025, 7, 7) + timedelta(weeks=weeks, days=weekday, minutes=minute)  # noqa: DTZ001
    local = wall.replace(tzinfo=zoneinfo.ZoneInfo(window.zone.name))
    at = int(local.timestamp()) * SECOND + data.draw(st.sampled_from([0, -1, micro]))
    assert window.is_open(at) == inside(text, at)
    assert isinstance(check_window(window), Success)


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2025-07-11T21:59:59.999999", False),
        ("2025-07-11T22:00:00", True),
        ("2025-07-12T05:59:59.999999", True),
        ("2025-07-12T06:00:00", False),
        ("2025-07-12T22:00:00", False),
        ("2025-07-11T05:59:00", False),
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_opens(moment: str, is_open: bool) -> None:
    at = int(datetime.fromisoformat(moment + "+00:00").timestamp() * SECOND)
    assert load_window("Fri 22:00-06:00 UTC", EPOCH).unwrap().is_open(at) is is_open


@given(written_windows(st.just("UTC")))
def test_windows_read_back(text: str) -> None:
    window = load_window(text, EPOCH).unwrap()
    again = parse_hours(window.text()).unwrap()
    assert (again.days, again.opens, again.closes) == (window.days, window.opens, window.closes)


@given(st.sampled_from(ZONES), st.integers(EPOCH // SECOND, 4_000_000_000))
def test_a_zone_has_the_offsets_of_zoneinfo(name: str, moment: int) -> None:
    zone = load_zone(name, EPOCH).unwrap()
    offset = datetime.fromtimestamp(moment, zoneinfo.ZoneInfo(name)).utcoffset()
    assert offset is not None
    assert zone.offset(moment) == offset.total_seconds()
    assert isinstance(check(zone), Success)


@pytest.mark.parametrize("name", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago"])
def test_a_zone_switches_at_the_very_second_for_a_century(name: str) -> None:
    """Where the zone data ends a rule goes on: the last Sunday of a month, the second one, in either hemisphere."""
    zone, theirs = load_zone(name, EPOCH).unwrap(), zoneinfo.ZoneInfo(name)

    def offset(moment: int) -> float:
        found = datetime.fromtimestamp(moment, theirs).utcoffset()
        assert found is not None
        return found.total_seconds()

    switches = 0
    for day in range(EPOCH // SECOND, 4_900_000_000, 86_400):
        low, high = day, day + 86_400
        if offset(low) == offset(high):
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if offset(middle) == offset(low) else (low, middle)
        switches += 1
        assert (zone.offset(low), zone.offset(high)) == (offset(low), offset(high))
    assert switches > 150


@given(s.windows, s.times)
def test_whatever_stands_in_a_log_is_decided(window: Window, at: int) -> None:
    """A window that passed the decoder never raises, sensible or not."""
    assert window.is_open(at) in (True, False)
    check_window(window)


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({}, True),
        ({"closes": 540}, False),
        ({"days": (2, 1)}, False),
        ({"days": (1, 1)}, False),
        ({"days": (1,)}, True),
    ],
)
def test_a_window_of_no_time_or_with_days_in_disorder_is_refused(changes: dict[str, Any], good: bool) -> None:
    """Each for itself; a log that was written by others may hold either."""
    window = attrs.evolve(load_window("Mon,Tue 09:00-18:00 UTC", EPOCH).unwrap(), **changes)
    assert isinstance(check_window(window), Success) == good


@pytest.mark.parametrize(
    ("begins", "ends", "good"), [(None, 11, True), (None, 10, False), (20, 21, True), (20, 20, False), (20, 19, False)]
)
def test_a_grant_that_could_never_be_used_is_refused(begins: int | None, ends: int, good: bool) -> None:
    """At moment 10: what ends now, or begins when it ends, is open at no time."""
    conditions = Conditions(default_ttl=1, maximum_ttl=1, not_before=begins, expires_at=ends)
    assert isinstance(check_conditions(conditions, 10), Success) == good


def test_a_zone_file_that_is_damaged_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = (resources.files("tzdata.zoneinfo.Europe") / "Berlin").read_bytes()
    monkeypatch.setattr(zoneinfo, "TZPATH", (str(tmp_path),))
    (tmp_path / "Europe").mkdir()
    for raw in (b"", b"TZif2", whole[:100], whole.replace(b"CET-1CEST", b"CET-1CET,J1,J2"), whole[44:], b"\xff" * 500):
        (tmp_path / "Europe" / "Berlin").write_bytes(raw)
        assert load_zone("Europe/Berlin", EPOCH) == Failure(BAD_ZONE)
    (tmp_path / "Europe" / "Berlin").write_bytes(whole)
    assert isinstance(load_zone("Europe/Berlin", EPOCH), Success)


def test_a_zone_that_changed_its_mind_is_kept_with_its_shifts() -> None:
    """Morocco turns its clocks around Ramadan, which no rule says: the moments themselves stand in the value."""
    zone = load_zone("Africa/Casablanca", EPOCH).unwrap()
    assert len(zone.shifts) > 10
    for shift in zone.shifts[1:-1]:
        for moment in (shift.at - 1, shift.at):
            local = datetime.fromtimestamp(moment, UTC).astimezone(zoneinfo.ZoneInfo("Africa/Casablanca"))
            assert zone.offset(moment) == local.utcoffset().total_seconds()  # pyright: ignore[reportOptionalMemberAccess]
