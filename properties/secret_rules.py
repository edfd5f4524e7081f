"""What the state machine does to secrets, keys, time and processes, next to the independent model."""

from collections.abc import Callable
from typing import Any, cast

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from returns.result import Failure, Success

from interpreters.outcome import Ask, Outcome
from interpreters.store import Store
from interpreters.vault import Vault
from ironsecrets.drafts import NewPending, NewRotation, NewVersion
from ironsecrets.identifiers import RotatorName
from ironsecrets.principals import Agent, Principal
from ironsecrets.reading import MaskValue, RevealValue
from ironsecrets.removal import Delete, Destroy, Erase, Undelete
from ironsecrets.replaying import replay
from ironsecrets.rotation import (
    AbortRotation,
    ClearRotation,
    FailRotation,
    FinishRotation,
    MarkAborted,
    MarkSet,
    MarkTested,
    SetRotation,
    StartRotation,
)
from ironsecrets.schedules import RotationPolicy
from ironsecrets.secrets import Rollback
from ironsecrets.sensitive import Sensitive
from properties import strategies as s
from properties.model import Model, Who
from properties.worlds import SetClock, new_vault, opened_again, world

numbers = st.integers(1, 4)
pick = st.integers(0, 10)
mostly_one = st.sampled_from((s.ENVIRONMENTS[0],) * 4 + s.ENVIRONMENTS)


def who_of(agent: Agent) -> Who:
    """An agent as the model knows it."""
    if agent.claims is None:
        return Who(agent.id, agent.token)
    return Who(agent.id, agent.token, agent.claims.permissions, agent.claims.expires_at)


class SecretRules(RuleBasedStateMachine):
    """Every rule asks the vault and the model the same, and they must agree to the letter."""

    def __init__(self, make_store: Callable[[], Store]) -> None:
        super().__init__()
        self.store = make_store()
        self.world = world()
        self.clock = cast(SetClock, self.world.clock)
        self.vaults: list[Vault] = [new_vault(self.store, self.world)]
        self.turn = 0
        self.model = Model()

    def ask(self, ask: Ask, expected: str, who: Principal = s.OPERATOR) -> Outcome | None:
        """Ask one of the processes in turn, and hold its verdict against the model's."""
        self.turn += 1
        match self.vaults[self.turn % len(self.vaults)].execute(who, ask):
            case Success(outcome):
                assert expected == "applied", f"applied, where the model says {expected}"
                return outcome
            case Failure(refusal):
                assert refusal.code == expected
                if isinstance(who, Agent):
                    self.model.refused(who_of(who), expected, self.clock.time)
                return None
            case _:
                raise AssertionError

    @rule(name=s.names, environment=mostly_one, value=s.values)
    def put(self, name: Any, environment: Any, value: bytes) -> None:
        verdict = self.model.put((environment, name), value, self.clock.time)
        self.ask(NewVersion(name=name, environment=environment, value=Sensitive(value)), verdict)

    @rule(name=s.names, environment=mostly_one, version=st.none() | numbers)
    def reveal(self, name: Any, environment: Any, version: int | None) -> None:
        verdict = self.model.read((environment, name), version)
        outcome = self.ask(RevealValue(name=name, environment=environment, version=version), verdict)
        if outcome is not None:
            secret = self.model.secrets[environment, name]
            assert outcome.disclosed is not None
            assert outcome.disclosed.bytes() == secret.values[(version or secret.current) - 1]

    @rule(name=s.names, environment=mostly_one, version=numbers, kind=st.sampled_from(["mask", "rollback", "destroy"]))
    def with_version(self, name: Any, environment: Any, version: int, kind: str) -> None:
        where = (environment, name)
        if kind == "mask":
            asked = MaskValue(name=name, environment=environment, version=version)
            self.ask(asked, self.model.read(where, version), s.VIEWER)
        elif kind == "rollback":
            verdict = self.model.rollback(where, version, self.clock.time)
            self.ask(Rollback(name=name, environment=environment, to=version), verdict)
        else:
            verdict = self.model.destroy(where, version)
            self.ask(Destroy(name=name, environment=environment, version=version), verdict)

    @rule(name=s.names, environment=mostly_one, kind=st.sampled_from(["delete", "undelete", "undelete", "erase"]))
    def whole(self, name: Any, environment: Any, kind: str) -> None:
        command = {"delete": Delete, "undelete": Undelete, "erase": Erase}[kind](name=name, environment=environment)
        self.ask(command, getattr(self.model, kind)((environment, name)))

    @rule(name=s.names, environment=mostly_one, policy=st.none() | s.policies)
    def policy(self, name: Any, environment: Any, policy: RotationPolicy | None) -> None:
        where = (environment, name)
        if policy is None:
            self.ask(ClearRotation(name=name, environment=environment), self.model.clear_policy(where))
            return
        # What makes a policy is the business of a law of its own; here it makes sense.
        good = attrs.evolve(policy, every=s.SPANS[-1], alphabet="0123456789abcdef", length=32)
        verdict = self.model.policy(
            where, overlap=good.overlap, keeps=good.on_failure == "keep", destroys=good.destroy_previous
        )
        self.ask(SetRotation(name=name, environment=environment, policy=good), verdict)

    @rule(
        which=pick,
        steps=st.lists(
            st.sampled_from(
                ["next"] * 12 + ["fail", "abort", "aborted", "start", "create", "set", "test", "finish", "other"]
            ),
            min_size=1,
            max_size=6,
        ),
        value=s.values,
    )
    def rotate(self, which: int, steps: list[str], value: bytes) -> None:
        """A rotation goes on where it was, mostly by its steps in order, and now and then otherwise."""
        known = sorted(self.model.secrets) or [(s.ENVIRONMENTS[0], s.NAMES[0])]
        where = known[which % len(known)]
        for step in steps:
            self.one_rotation_step(where, step, value)

    def one_rotation_step(self, where: Any, step: str, value: bytes) -> None:
        environment, name = where
        secret = self.model.secrets.get(where)
        begun = secret is not None and secret.rotation is not None
        upcoming = secret.upcoming() if secret is not None and begun else "start"
        key: Any = "rt_" + "0" * 16
        if secret is not None and secret.rotation is not None and step != "other":
            key = secret.rotation
        asked: dict[str, Any] = {"name": name, "environment": environment}
        doing = upcoming if step in ("next", "other") else step
        if doing == "start":
            verdict = self.model.start(where, "pending")
            outcome = self.ask(NewRotation(**asked, rotator=RotatorName("vendor")), verdict)
            if outcome is not None and isinstance(outcome.command, StartRotation):
                self.model.secrets[where].rotation = outcome.command.rotation
            return
        asked["rotation"] = key
        now = self.clock.time
        if doing == "fail":
            at: Any = upcoming if begun else "create"
            self.ask(FailRotation(**asked, reason="failed", step=at), self.model.fail(where, key, at))
        elif doing in ("abort", "aborted"):
            # What comes next while aborting is to have aborted.
            done = doing == "aborted" or (step == "next" and upcoming == "abort")
            kind = MarkAborted if done else AbortRotation
            self.ask(kind(**asked), self.model.abort(where, key, done))
        elif doing == "create":
            verdict = self.model.step(where, key, doing, now, value)
            self.ask(NewPending(**asked, value=Sensitive(value)), verdict)
        else:
            kind = {"set": MarkSet, "test": MarkTested, "finish": FinishRotation}[doing]
            self.ask(kind(**asked), self.model.step(where, key, doing, now))

    @rule(by=st.sampled_from([-60_000_000, 0, 1, 999_999, 1_000_000, 60_000_000, 900_000_000]))
    def time_passes(self, by: int) -> None:
        """Set back, the clock brings nothing to life: the vault's time stays where it was."""
        before = self.vaults[0].now()
        self.clock.time += by
        if by < 0:
            assert self.vaults[0].now() == before
            self.clock.time = before

    @rule(batch=st.integers(1, 3), fresh=st.booleans())
    def rotate_key(self, batch: int, fresh: bool) -> None:
        """Whatever it holds, the vault holds after a rotation too; the model does not even notice."""
        vault = self.vaults[-1 if fresh else 0]
        epoch = vault.state.epoch()
        rotated = vault.operator("olga").rotate_key(batch=batch)
        assert rotated.epoch == epoch + (not rotated.resumed)
        assert [one.number for one in self.vaults[0].state.epochs] == [rotated.epoch]

    @precondition(lambda self: len(cast(SecretRules, self).vaults) < 3)
    @rule()
    def another_process(self) -> None:
        """Another process opens the same store; from now on they take turns."""
        other = world(len(self.vaults) + 1)
        self.vaults.append(opened_again(self.store, type(other)(clock=self.clock, entropy=other.entropy)))

    @rule()
    def snapshot(self) -> None:
        self.vaults[0].snapshot()

    @invariant()
    def every_secret_has_one_current_value(self) -> None:
        """A reader never sees no value; a pending version stands in a rotation, and nowhere else."""
        for secret in self.vaults[0].state.secrets.by_id.values():
            labels = [secret.label(version.number) for version in secret.versions]
            assert labels.count("current") == 1
            assert secret.versions[secret.current - 1].destroyed_at is None
            assert labels.count("pending") == (secret.rotation is not None and secret.rotation.version is not None)
            assert secret.pending is None or secret.versions[secret.pending - 1].destroyed_at is None

    @invariant()
    def all_processes_agree(self) -> None:
        states = [vault.state for vault in self.vaults]
        assert all(state == states[0] for state in states)

    def teardown(self) -> None:
        vault = self.vaults[0]
        match vault.verify():
            case Success(_):
                pass
            case other:
                raise AssertionError(other)
        assert replay(vault.entries()) == Success(vault.state)
        self.store.close()
