"""When a value is due, what follows from a clock that jumps, and what those who keep up with the log are told."""

from datetime import timedelta
from typing import Any

import attrs
from hypothesis import example, given
from hypothesis import strategies as st
from returns.result import Failure, Success

from interpreters.memory_store import MemoryStore
from interpreters.rotators import CallableRotator, Rotator
from interpreters.scheduler import Pass
from interpreters.vault import Vault
from ironsecrets.agenda import LONGEST_PAUSE, agenda, next_wake, pause
from ironsecrets.audit import decode_entry
from ironsecrets.events import Event, Follower, followed, passed
from ironsecrets.identifiers import LATEST_TIME, RotatorName
from ironsecrets.schedules import (
    ALPHABETS,
    DAY,
    MINUTE,
    RotationPolicy,
    check,
    draw_bytes,
    generate,
    next_moment,
    parse_cron,
    parse_policy,
)
from ironsecrets.state import EMPTY, VaultState
from ironsecrets.vault import Request
from properties import strategies as s
from properties.test_replay_laws import told
from properties.worlds import EPOCH, SetClock, new_vault, world

YEAR = 365 * DAY


@given(s.policies, st.integers(0, LATEST_TIME), st.none() | st.integers(0, LATEST_TIME))
def test_what_became_current_is_not_due_at_once(policy: RotationPolicy, since: int, expires_at: int | None) -> None:
    """Else a rotation would be followed by the next one, without end."""
    match check(policy):
        case Success(good):
            at = next_moment(good, current_since=since, expires_at=expires_at)
            assert at is None or at > since
            assert good.every is None or at is not None
        case _:
            pass


@given(
    st.builds(
        RotationPolicy,
        alphabet=st.sampled_from([*ALPHABETS.values(), "ab", "aa", "", "é", "a\n"]) | st.text(max_size=100),
        cron=st.none()
        | st.sampled_from(["0 3 * * 0", "0 0 30 2 *", "* * * * * *", "@daily", "61 * * * *"])
        | st.text(),
        every=st.none() | st.integers(-5, LATEST_TIME + 5),
        before_expiry=st.none() | st.integers(-5, LATEST_TIME + 5),
        overlap=st.integers(-5, LATEST_TIME + 5),
        length=st.integers(-1, 5000),
        rotator=st.text(max_size=40).map(RotatorName) | s.rotators,
    )
)
def test_a_policy_that_is_parsed_is_one_that_the_log_can_hold(policy: RotationPolicy) -> None:
    match parse_policy(policy):
        case Success(good):
            assert check(good) == Success(good)
            assert parse_policy(good) == Success(good)
            vault = new_vault(MemoryStore())
            operator = vault.operator("olga")
            operator.put("a", b"", environment="development")
            operator.rotation.set(
                "a",
                environment="development",
                cron=good.cron,
                every=None if good.every is None else timedelta(microseconds=good.every),
                before_expiry=None if good.before_expiry is None else timedelta(microseconds=good.before_expiry),
                overlap=timedelta(microseconds=good.overlap),
                length=good.length,
                alphabet=good.alphabet,
                rotator=good.rotator,
            )
            assert next(iter(vault.state.secrets.by_id.values())).policy == good
        case Failure(refusal):
            assert refusal.code in {"bad-schedule", "bad-generator", "bad-rotator"}
        case _:
            raise AssertionError


@given(
    st.sampled_from(["0 3 * * 0", "*/5 * * * *", "0 0 29 2 *", "15 4 1,15 * *"]), st.integers(EPOCH, EPOCH + 50 * YEAR)
)
def test_cron_moments_are_those_of_the_calendar(cron: str, since: int) -> None:
    """Against the calendar itself: the minute fits, and no earlier one after ``since`` does."""
    from datetime import UTC, datetime

    assert parse_cron(cron.lower()) == Success(cron)
    policy = RotationPolicy(cron=cron)
    at = next_moment(policy, current_since=since, expires_at=None)
    assert at is not None
    assert at > since
    assert at % MINUTE == 0

    def fits(micros: int) -> bool:
        when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
        return {
            "0 3 * * 0": (when.minute, when.hour, when.isoweekday()) == (0, 3, 7),
            "*/5 * * * *": when.minute % 5 == 0,
            "0 0 29 2 *": (when.minute, when.hour, when.day, when.month) == (0, 0, 29, 2),
            "15 4 1,15 * *": (when.minute, when.hour) == (15, 4) and when.day in (1, 15),
        }[cron]

    assert fits(at)
    # Every minute of a day, then every midnight, three and a quarter past four of the years between.
    first = since // MINUTE * MINUTE + MINUTE
    assert not any(fits(moment) for moment in range(first, min(at, first + DAY), MINUTE))
    days = range(first // DAY * DAY, at, DAY)
    assert not any(fits(day + m * MINUTE) for day in days for m in (0, 180, 255) if since < day + m * MINUTE < at)


@given(st.sampled_from(["ab", "0123456789abcdef", ALPHABETS["printable"]]), st.integers(1, 40), st.data())
def test_generated_values(alphabet: str, length: int, data: st.DataObject) -> None:
    """Of that length and alphabet, and each text as likely as the next: numbers below the count give each text once."""
    draw = data.draw(st.binary(min_size=draw_bytes(length, alphabet), max_size=draw_bytes(length, alphabet)))
    text = generate(length, alphabet, draw)
    assert len(text) == length
    assert set(text) <= set(alphabet)
    assert 256 ** len(draw) >= len(alphabet) ** length * 2**64
    number = sum(alphabet.index(letter) * len(alphabet) ** at for at, letter in enumerate(text))
    assert number == int.from_bytes(draw, "big") % len(alphabet) ** length


@given(s.histories(), st.integers(0, LATEST_TIME))
def test_the_next_wake_misses_nothing(history: list[Request], now: int) -> None:
    secrets = told(history)[1][-1].secrets
    wake = next_wake(secrets, now)
    ready = [due for due in agenda(secrets) if due.ready(now)]
    later = [due for due in agenda(secrets) if not due.ready(now)]
    if wake is None:
        assert not later
    else:
        assert wake > now
        assert [due for due in agenda(secrets) if due.ready(wake - 1)] == ready
        assert any(due.ready(wake) for due in later)


@given(st.integers(1, 10_000))
def test_a_failing_rotator_is_left_alone_for_longer_and_longer(failures: int) -> None:
    assert MINUTE <= pause(failures) <= pause(failures + 1) <= LONGEST_PAUSE


def many(count: int, **policy: Any) -> tuple[Vault, SetClock]:
    """A vault of so many secrets of one policy, rotated by a generator unless it says otherwise."""
    where = world()
    clock = where.clock
    assert isinstance(clock, SetClock)
    vault = new_vault(MemoryStore(), where)
    operator = vault.operator("olga")
    settings: dict[str, Any] = {"rotator": "generated"} | policy
    for number in range(count):
        operator.put(f"n/{number}", b"first", environment="development")
        operator.rotation.set(f"n/{number}", environment="development", **settings)
    return vault, clock


def one_pass(vault: Vault, **options: Any) -> Pass:
    return vault.scheduler(keys=False, **options).run_once()


jumps = st.sampled_from([-10 * YEAR, -YEAR, -DAY, 0, MINUTE, DAY, 29 * DAY, 31 * DAY, 300 * DAY, 10 * YEAR, 100 * YEAR])


@given(st.lists(jumps, max_size=8), st.booleans(), st.booleans())
@example([-YEAR], False, False)
@example([10 * YEAR], False, True)
@example([10 * YEAR, -10 * YEAR], True, True)
def test_a_clock_that_jumps_makes_no_storm(ahead: list[int], accept: bool, destroy: bool) -> None:
    """Whatever the clock does: a pass rotates so many at most, what is overdue by more than a year waits for
    somebody, time in the log never runs back, nothing is rotated twice for one moment, and every value reads."""
    vault, clock = many(7, every=timedelta(days=30), overlap=timedelta(days=1), destroy_previous=destroy)
    scheduler = vault.scheduler(most=3, keys=False, accept_clock=accept)
    for jump in ahead:
        clock.time = max(0, clock.time + jump)
        before, at = vault.state, vault.now()
        done = scheduler.run_once()
        assert len(done.rotated) <= 3
        assert not done.failed
        overdue = {due.name for due in agenda(before.secrets) if due.kind == "rotate" and due.ready(at)}
        if jump <= 0 and at == before.last_at:
            assert len(done.rotated) <= len(overdue)
        assert {one.name for one in done.rotated} <= overdue
        if not accept:
            assert all(due.at + 366 * DAY >= at for due in done.destroyed)
            held = {due.name for due in agenda(before.secrets) if due.kind == "rotate" and due.held(at)}
            assert not held & {one.name for one in done.rotated}
            assert held <= {due.name for due in done.held}
        assert vault.state.last_at >= before.last_at
        again = {due.name for due in agenda(vault.state.secrets) if due.kind == "rotate" and due.ready(vault.now())}
        assert not again & {one.name for one in done.rotated}, "what was rotated is not due again"
        assert done.left == (max(0, len(overdue) - 3) if accept else done.left)
    for secret in vault.state.secrets.by_id.values():
        vault.operator("olga").reveal(secret.name, environment=secret.environment).wipe()
    assert isinstance(vault.verify(), Success)


def test_a_rotator_that_always_fails_is_not_tried_all_day() -> None:
    tried: list[int] = []

    def fail(task: object) -> None:
        tried.append(1)
        raise OSError("down")

    vault, clock = many(1, every=timedelta(days=30), rotator="down")
    rotators: dict[str, Rotator] = {"down": CallableRotator(test=fail)}
    scheduler = vault.scheduler(rotators=rotators, keys=False)
    scheduler.ended.set()
    clock.time += 31 * DAY
    passes = 0
    for _ in range(24 * 60):
        clock.time += MINUTE
        scheduler.ended.clear()
        impatient = attrs.evolve(scheduler)
        impatient.ended.wait = lambda timeout=None: False  # type: ignore[method-assign]
        passes += len(impatient.run_once().failed)
    assert 8 <= passes <= 12, passes
    assert len(tried) == passes * 3


def test_pauses_double_up_to_a_day() -> None:
    assert [pause(failures) // MINUTE for failures in range(13)] == [
        1,
        1,
        2,
        4,
        8,
        16,
        32,
        64,
        128,
        256,
        512,
        1024,
        1440,
    ]
    assert pause(1000) == LONGEST_PAUSE


def test_the_next_wake_is_the_nearest_that_is_to_come() -> None:
    vault = new_vault(MemoryStore(), world())
    operator = vault.operator("o")
    for name, days in (("a", 3), ("b", 1), ("c", 2)):
        operator.put(name, "x", environment="development")
        operator.rotation.set(name, environment="development", every=timedelta(days=days))
    moments = sorted(due.at for due in agenda(vault.state.secrets))
    assert len(moments) == 3
    for now, then in ((0, moments[0]), (moments[0], moments[1]), (moments[1], moments[2]), (moments[2], None)):
        assert next_wake(vault.state.secrets, now) == then


def test_the_length_of_what_is_generated_has_bounds() -> None:
    for length, good in ((0, False), (-1, False), (4096, True), (4097, False)):
        assert isinstance(parse_policy(RotationPolicy(length=length, every=DAY)), Success) == good


def test_whichever_comes_first() -> None:
    policy = RotationPolicy(every=30 * DAY, cron="0 0 1 1 *", before_expiry=DAY)
    assert next_moment(policy, current_since=0, expires_at=None) == 30 * DAY
    assert next_moment(policy, current_since=0, expires_at=3 * DAY) == 2 * DAY
    assert next_moment(policy, current_since=350 * DAY, expires_at=None) == YEAR


def test_what_is_no_longer_previous_is_destroyed_too() -> None:
    """Within the overlap another value becomes current: nobody would come for the one before the previous."""
    vault, _ = many(1, every=timedelta(days=30), overlap=timedelta(days=1), destroy_previous=True)
    operator = vault.operator("olga")
    for _ in range(2):
        operator.rotation.now("n/0", environment="development")
        operator.put("n/0", b"by hand", environment="development")
        (secret,) = vault.state.secrets.by_id.values()
        kept = [version.number for version in secret.versions if version.destroyed_at is None]
        assert kept == [secret.previous, secret.current]
    assert isinstance(vault.verify(), Success)


def test_policies_that_destroy_leave_at_most_one_previous_behind() -> None:
    vault, clock = many(1, every=timedelta(days=30), overlap=timedelta(days=1), destroy_previous=True)
    for _ in range(5):
        clock.time += 31 * DAY
        done = one_pass(vault)
        (secret,) = vault.state.secrets.by_id.values()
        assert len(done.rotated) == 1
        kept = [version.number for version in secret.versions if version.destroyed_at is None]
        assert kept == [secret.previous, secret.current]
    clock.time += DAY - 1
    assert not one_pass(vault).destroyed
    clock.time += 1
    assert [due.version for due in one_pass(vault).destroyed] == [5]
    (secret,) = vault.state.secrets.by_id.values()
    assert [version.number for version in secret.versions if version.destroyed_at is None] == [6]


def test_the_due_and_the_held_are_told() -> None:
    vault, clock = many(2, every=timedelta(days=30), rotator="manual")
    operator = vault.operator("olga")
    assert not operator.rotation.due()
    week = operator.rotation.due(within=timedelta(days=30))
    assert [(due.name, due.kind) for due in week] == [("n/0", "rotate"), ("n/1", "rotate")]
    clock.time += 31 * DAY
    done = one_pass(vault)
    assert [due.name for due in done.reminders] == ["n/0", "n/1"]
    assert not done.rotated
    clock.time += 2 * YEAR
    done = one_pass(vault)
    assert [due.name for due in done.held] == ["n/0", "n/1"]


@given(s.histories(), st.lists(st.integers(0, 30), max_size=6), st.lists(st.integers(0, 60_000_000), max_size=6))
def test_events_do_not_depend_on_how_often_one_looks(history: list[Request], cuts: list[int], looks: list[int]) -> None:
    entries, states = told(history)
    end = states[-1].last_at + 90_000_000

    def heard(stops: set[int]) -> list[Event]:
        follower, events = Follower(state=EMPTY, time=0), list[Event]()
        for number, raw in enumerate(entries):
            if number in stops:
                # A look between two entries, at a moment between their times.
                low, high = follower.state.last_at, decode_entry(raw).unwrap().at
                for look in looks:
                    follower, told_now = passed(follower, min(low + look, high))
                    events += told_now
            follower, told_now = followed(follower, raw).unwrap()
            events += told_now
        return events + list(passed(follower, end)[1])

    assert heard(set()) == heard(set(cuts))


@given(s.histories())
def test_events_are_what_happened(history: list[Request]) -> None:
    """Rotate where another value is current, revoke where access ended before its time, expire where its time did."""
    entries, states = told(history)
    follower, before = Follower(state=EMPTY, time=0), EMPTY
    for raw, after in zip(entries, states, strict=True):
        entry = decode_entry(raw).unwrap()
        follower, events = followed(follower, raw).unwrap()
        assert follower.state == after
        changed = {
            (secret.environment, secret.name, secret.current)
            for secret in after.secrets.by_id.values()
            if (was := before.secrets.by_id.get(secret.id)) is not None and was.current != secret.current
        }
        assert changed == {(e.environment, e.name, e.version) for e in events if e.kind == "rotate"}
        ended = {lease for event in events for lease in event.leases}
        lost = usable(before, entry.at) - usable(after, entry.at)
        released = {entry.command.lease} if entry.command.type == "release" else set[str]()  # pyright: ignore
        assert lost - released <= ended
        assert not usable(after, entry.at) & ended, "who was told that it ended cannot use it"
        over = {one.id for one in before.leases.by_id.values() if before.last_at < one.expires_at <= entry.at}
        revoked = {one.id for one in before.leases.by_id.values() if one.grant not in before.grants.by_id}
        assert over - revoked == {lease for event in events if event.kind == "expire" for lease in event.leases}
        for event in (event for event in events if event.kind == "expire"):
            (lease,) = (before.leases.by_id[one] for one in event.leases)
            assert before.last_at < event.at == lease.expires_at <= after.last_at
            assert lease.grant in before.grants.by_id, "what was revoked does not expire too"
        before = after


def test_a_lease_expires_once_and_at_its_very_end() -> None:
    vault, clock = many(1, every=timedelta(days=30))
    operator = vault.operator("olga")
    operator.enroll("agent_reader01")
    operator.grant("agent_reader01", "n/*", environment="development", ttl=timedelta(minutes=1))
    vault.acting_for("agent_reader01").lease("n/0", environment="development")
    end = clock.time + MINUTE
    follower, events = passed(Follower(state=vault.state, time=clock.time), end - 1)
    assert not events
    follower, events = passed(follower, end)
    assert [(event.kind, event.at) for event in events] == [("expire", end)]
    assert not passed(follower, end + 1)[1]


def usable(state: VaultState, at: int) -> set[str]:
    """The leases that a look-up would serve, as far as grant, agent, secret and time go."""
    found: set[str] = set()
    for lease in state.leases.by_id.values():
        agent = state.agents.by_id.get(lease.agent)
        secret = state.secrets.find(lease.environment, lease.name)
        if (
            at < lease.expires_at
            and lease.grant in state.grants.by_id
            and agent is not None
            and agent.suspended_at is None
            and secret is not None
            and secret.deleted_at is None
        ):
            found.add(lease.id)
    return found
