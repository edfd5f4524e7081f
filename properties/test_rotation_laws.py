"""Law 3, for values: the legal steps only, one current value at every moment, no end changed by a crash or a failure.

The outside is a service that accepts passwords; what a rotator does to it is held against what the vault says.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from returns.result import Failure, Success

from interpreters.outcome import Ask
from interpreters.rotators import CallableRotator, Task
from interpreters.store import Store
from interpreters.vault import Vault
from ironsecrets.drafts import NewPending, NewRotation
from ironsecrets.errors import Refused, RotationFailed
from ironsecrets.identifiers import Environment, RotationId, RotatorName, SecretName
from ironsecrets.rotation import (
    AbortRotation,
    FailRotation,
    FinishRotation,
    MarkAborted,
    MarkSet,
    MarkTested,
    StartRotation,
)
from ironsecrets.secrets import Secret
from ironsecrets.sensitive import Sensitive
from properties import strategies as s
from properties.dying import Dying, Killed
from properties.worlds import new_vault, opened_again, world

NAME, WHERE = SecretName("db/password"), Environment("production")
OPERATOR = s.OPERATOR
LEGAL: dict[str, dict[str, str]] = {
    "none": {"start": "start"},
    "start": {"create": "create", "abort": "abort"},
    "create": {"set": "set", "abort": "abort"},
    "set": {"test": "test", "abort": "abort"},
    "test": {"finish": "none", "abort": "abort"},
    "abort": {"aborted": "none"},
}
OTHER = RotationId("rt_" + "0" * 16)
KEPT = {"start": "start", "create": "create", "set": "create", "test": "create", "abort": "abort"}
FAILS_AT: dict[str, Literal["create", "set", "test", "finish", "abort"]] = {
    "start": "create",
    "create": "set",
    "set": "test",
    "test": "finish",
    "abort": "abort",
}


def secret_of(vault: Vault) -> Secret:
    found = vault.state.secrets.find(WHERE, NAME)
    assert found is not None
    return found


def value_of(vault: Vault) -> bytes:
    with vault.operator("olga").reveal(NAME, environment=WHERE) as value:
        return value.bytes()


def asked_for(step: str, at: str, rotation: RotationId, value: bytes) -> Ask:
    """The command or draft of a step."""
    common: dict[str, Any] = {"environment": WHERE, "name": NAME, "rotation": rotation}
    match step:
        case "start":
            return NewRotation(name=NAME, environment=WHERE, rotator=RotatorName("manual"))
        case "create":
            return NewPending(**common, value=Sensitive(value))
        case "set":
            return MarkSet(**common)
        case "test":
            return MarkTested(**common)
        case "finish":
            return FinishRotation(**common)
        case "abort":
            return AbortRotation(**common)
        case "aborted":
            return MarkAborted(**common)
        case _:
            return FailRotation(**common, reason="failed", step=FAILS_AT.get(at, "set"))


ANY = ["start", "create", "set", "test", "finish", "abort", "aborted", "fail", "fail", "other"]
NEXT = {"none": "start", "start": "create", "create": "set", "set": "test", "test": "finish", "abort": "aborted"}


@given(st.lists(st.sampled_from(["next"] * 8 + ANY), max_size=25), st.booleans())
@example(["next", "next", "abort", "fail", "create", "next"], True)
def test_only_the_legal_order_of_steps(make_store: Callable[[], Store], steps: list[str], keeps: bool) -> None:
    store = make_store()
    vault = new_vault(store)
    operator = vault.operator("olga")
    operator.put(NAME, b"value 1", environment=WHERE)
    operator.rotation.set(NAME, environment=WHERE, preset="database-password", on_failure="keep" if keeps else "abort")
    at, live, before = "none", b"value 1", secret_of(vault)
    rotation = OTHER
    for number, step in enumerate(steps):
        stranger = step == "other" and at != "none"
        step = NEXT[at] if step in ("next", "other") else step
        asked = asked_for(step, at, OTHER if stranger else rotation, b"value of %d" % number)
        after = KEPT.get(at, "none") if keeps else "abort"
        legal = {} if stranger else {**LEGAL[at], **({"fail": after} if at != "none" else {})}
        pending = secret_of(vault).pending
        match vault.execute(OPERATOR, asked):
            case Success(outcome):
                assert step in legal, (at, step)
                if step == "start":
                    assert isinstance(outcome.command, StartRotation)
                    rotation, before = outcome.command.rotation, secret_of(vault)
                elif step == "finish":
                    live = value_of(vault)
                    assert (secret_of(vault).current, secret_of(vault).previous) == (pending, before.current)
                at = legal[step]
            case Failure(refusal):
                assert step not in legal, (at, step, refusal.code)
                assert refusal.code in {"no-rotation", "wrong-step", "rotation-in-progress"}
            case _:
                raise AssertionError
        secret = secret_of(vault)
        assert value_of(vault) == live, "the current value answers all the while"
        assert [secret.label(v.number) for v in secret.versions].count("current") == 1
        assert (secret.rotation is not None) == (at != "none")
        if step == "aborted" and step in legal:
            kept = attrs.evolve(before, rotation=None, versions=(), failed=None)
            assert attrs.evolve(secret, versions=(), failed=None) == kept, "abort restores what was"
            if pending is not None:
                assert secret.versions[pending - 1].destroyed_at is not None
    assert isinstance(vault.verify(), Success)
    assert opened_again(store).state == vault.state


@attrs.define
class Outside:
    """A service that accepts one password, and a rotator for it that can be made to stumble."""

    password: bytes = b"value 1"
    made: int = 0
    stumbles: dict[str, int] = attrs.field(factory=dict[str, int])
    watch: Callable[[], None] = lambda: None

    def _step(self, step: str, work: Callable[[], None]) -> None:
        """Do it, or crash before it, or after it, as often as ``stumbles`` says."""
        self.watch()
        left = self.stumbles.get(step, 0)
        self.stumbles[step] = left - 1 if left > 0 else 0
        if left > 0 and left % 2:
            raise ConnectionError("before")
        work()
        if left > 0:
            raise ConnectionError("after")
        self.watch()

    def create(self, task: Task) -> bytes:
        current = task.current().bytes()
        self._step("create", lambda: None)
        return b"value %d" % (int(current.split()[1]) + 1)

    def set(self, task: Task) -> None:
        def work() -> None:
            self.password = task.pending().bytes()

        self._step("set", work)

    def test(self, task: Task) -> None:
        def work() -> None:
            assert self.password == task.pending().bytes()

        self._step("test", work)

    def finish(self, task: Task) -> None:
        self._step("finish", lambda: None)

    def abort(self, task: Task) -> None:
        def work() -> None:
            self.password = task.current().bytes()

        self._step("abort", work)

    def rotators(self) -> dict[str, CallableRotator]:
        return {
            "service": CallableRotator(
                create=self.create, set=self.set, test=self.test, finish=self.finish, abort=self.abort
            )
        }


def prepared(store: Store, *, keep: bool = False) -> Vault:
    vault = new_vault(store)
    operator = vault.operator("olga")
    operator.put(NAME, b"value 1", environment=WHERE)
    operator.rotation.set(
        NAME,
        environment=WHERE,
        preset="database-password",
        rotator="service",
        on_failure="keep" if keep else "abort",
    )
    return vault


def labels(vault: Vault) -> tuple[Any, ...]:
    secret = secret_of(vault)
    return secret.current, secret.previous, secret.pending, len(secret.versions)


def stumbled(work: Callable[[], None]) -> RotationFailed | None:
    """The failure, if there was one."""
    try:
        work()
    except RotationFailed as failed:
        return failed
    return None


def no_wait(seconds: float) -> None:
    """Time in tests is a value."""


def rotate(vault: Vault, outside: Outside) -> None:
    driver = vault.operator("olga").rotation._driver  # pyright: ignore[reportPrivateUsage]
    attrs.evolve(driver, rotators=outside.rotators(), sleep=no_wait).rotate(NAME, WHERE)


@given(deaths=st.lists(st.tuples(st.integers(0, 14), st.booleans()), max_size=4))
def test_dying_at_any_step_changes_no_end(make_store: Callable[[], Store], deaths: list[tuple[int, bool]]) -> None:
    """Killed at any commit of a rotation, as often as one likes: the next run ends it as if nothing had been."""
    store, outside = make_store(), Outside()
    prepared(store)
    for after, durable in deaths:
        dying: Any = Dying(store, after, durable)
        doomed = opened_again(dying)
        if secret_of(doomed).current == 2:
            break
        with suppress(Killed):
            rotate(doomed, outside)
        survivor = opened_again(store)
        assert value_of(survivor) in (b"value 1", b"value 2")
        assert isinstance(survivor.verify(), Success)
    vault = opened_again(store)
    if secret_of(vault).current == 1:
        rotate(vault, outside)
    assert labels(vault) == (2, 1, None, 2)
    assert value_of(vault) == outside.password == b"value 2"
    assert isinstance(vault.verify(), Success)


@given(death=st.tuples(st.integers(0, 14), st.booleans()))
def test_a_rotation_that_died_can_be_aborted(make_store: Callable[[], Store], death: tuple[int, bool]) -> None:
    store, outside = make_store(), Outside()
    prepared(store)
    dying: Any = Dying(store, *death)
    with suppress(Killed):
        rotate(opened_again(dying), outside)
    vault = opened_again(store)
    finished = secret_of(vault).current == 2
    if secret_of(vault).rotation is not None:
        vault.operator("olga").rotation.abort(NAME, environment=WHERE, rotators=outside.rotators())
    assert secret_of(vault).rotation is None
    assert value_of(vault) == outside.password == (b"value 2" if finished else b"value 1")
    assert isinstance(vault.verify(), Success)


@given(
    stumbles=st.dictionaries(st.sampled_from(["create", "set", "test", "finish", "abort"]), st.integers(0, 12)),
    keep=st.booleans(),
)
def test_a_failing_rotator_loses_nothing(make_store: Callable[[], Store], stumbles: dict[str, int], keep: bool) -> None:
    """However it fails: the outside accepts a value that the vault holds, and the rotation ends when failures do."""
    store = make_store()
    vault = prepared(store, keep=keep)
    reader = opened_again(store, world(3))
    seen: list[bytes] = []
    outside = Outside(stumbles=dict(stumbles), watch=lambda: seen.append(value_of(reader)))
    for _ in range(30):
        before = secret_of(vault)
        if (failed := stumbled(lambda: rotate(vault, outside))) is None:
            break
        secret = secret_of(vault)
        assert (failed.fate != "aborted") == (secret.rotation is not None)
        assert secret.failed is not None
        assert secret.failed.step in (failed.step, "abort")
        assert value_of(vault) == b"value 1"
        if failed.fate == "aborted":
            assert outside.password == b"value 1", "aborted: the outside is as it was"
            assert not keep
        held = {value_of(vault)}
        if secret.pending is not None:
            with vault.operator("olga").reveal(NAME, environment=WHERE, version=secret.pending) as value:
                held.add(value.bytes())
        assert outside.password in held, "what the outside accepts is never lost"
        assert secret.current == before.current
    assert value_of(vault) == outside.password == b"value 2"
    assert set(seen) == {b"value 1"}, "until the end, every reader sees the value that was"
    assert secret_of(vault).failed is None
    assert isinstance(vault.verify(), Success)


@given(death=st.tuples(st.integers(0, 14), st.booleans()), second=st.tuples(st.integers(0, 3), st.booleans()))
def test_an_abort_that_died_is_not_finished(
    make_store: Callable[[], Store], death: tuple[int, bool], second: tuple[int, bool]
) -> None:
    """Whatever was put back outside: what the vault calls current is what the outside accepts."""
    store, outside = make_store(), Outside()
    prepared(store)
    for at in (death, second):
        dying: Any = Dying(store, *at)
        doomed = opened_again(dying)
        with suppress(Killed):
            if at is death:
                rotate(doomed, outside)
            elif secret_of(doomed).rotation is not None:
                doomed.operator("olga").rotation.abort(NAME, environment=WHERE, rotators=outside.rotators())
    vault = opened_again(store)
    if secret_of(vault).rotation is not None:
        driver = vault.operator("olga").rotation._driver  # pyright: ignore[reportPrivateUsage]
        attrs.evolve(driver, rotators=outside.rotators(), sleep=no_wait).resume(NAME, WHERE)
    assert secret_of(vault).rotation is None
    assert value_of(vault) == outside.password


def test_two_cannot_interleave(make_store: Callable[[], Store]) -> None:
    """A second rotation, a put and a rollback are refused while one is going on; a second driver waits."""
    store, codes = make_store(), list[str]()
    vault = prepared(store)
    other = opened_again(store, world(4)).operator("otto")

    def refused(work: Callable[[], object]) -> None:
        with pytest.raises(Refused) as caught:
            work()
        codes.append(caught.value.refusal.code)

    def intrude(task: Task) -> None:
        refused(lambda: other.rotation.begin(NAME, b"x", environment=WHERE))
        refused(lambda: other.put(NAME, b"x", environment=WHERE))
        refused(lambda: other.rollback(NAME, environment=WHERE, to=1))
        refused(lambda: other.destroy(NAME, environment=WHERE, version=2))

    vault.operator("olga").rotation.now(NAME, environment=WHERE, rotators={"service": CallableRotator(test=intrude)})
    assert codes == ["rotation-in-progress"] * 3 + ["version-pending"]
    assert labels(vault) == (2, 1, None, 2)


def test_one_leads(make_store: Callable[[], Store]) -> None:
    store = make_store()
    with store.lead() as first:
        with store.lead() as second:
            assert (first, second) == (True, False)
        with store.lead() as third:
            assert not third, "who did not lead cannot have ended it"
    with store.lead() as fourth:
        assert fourth


@given(
    overlap=st.sampled_from([0, 1, 3_600]),
    later=st.sampled_from([0, 1]) | st.integers(0, 7_200_000_000),
    around=st.booleans(),
)
def test_the_overlap_window(make_store: Callable[[], Store], overlap: int, later: int, around: bool) -> None:
    """A lease on the previous version answers within the window and not a microsecond longer."""
    from datetime import timedelta

    store, where = make_store(), world()
    vault = new_vault(store, where)
    clock: Any = where.clock
    operator = vault.operator("olga")
    operator.put(NAME, b"old", environment=WHERE)
    operator.grant("agent_a", NAME, environment=WHERE, ttl=timedelta(days=1))
    operator.rotation.set(
        NAME, environment=WHERE, every=timedelta(days=1), overlap=timedelta(seconds=overlap), rotator="generated"
    )
    agent = vault.acting_for("agent_a")
    live = agent.lease(NAME, environment=WHERE)
    operator.rotation.now(NAME, environment=WHERE)
    assert live.bytes() == value_of(vault) != b"old", "a live lease sees the new value at its next use"
    previous = agent.lease(NAME, environment=WHERE, label="previous") if overlap else None
    clock.time = vault.now() + (max(0, overlap * 1_000_000 - 1 + later % 3) if around else later)
    within = secret_of(vault).previous_until is not None and vault.now() < (secret_of(vault).previous_until or 0)
    for lease in (previous, None):
        look = lambda lease=lease: (lease or agent.lease(NAME, environment=WHERE, label="previous")).bytes()  # noqa: E731
        if within:
            assert look() == b"old"
        else:
            with pytest.raises(Refused, match="overlap"):
                look()
    assert live.bytes() == value_of(vault)
