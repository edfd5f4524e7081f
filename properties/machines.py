"""A state machine that drives a vault on any store next to the independent model."""

from collections.abc import Callable
from typing import Any, cast

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from returns.result import Failure, Success

from interpreters.outcome import Ask, Outcome
from interpreters.store import Store
from interpreters.vault import Vault
from ironsecrets.agents import Enroll, Remove, Resume, Suspend
from ironsecrets.drafts import NewGrant, NewLease, NewPending, NewRotation, NewToken, NewVersion
from ironsecrets.grants import IssueGrant, Revoke, RevokeAgent, RevokeAll
from ironsecrets.identifiers import AgentId, GrantId, LeaseId, RotatorName, TokenId
from ironsecrets.leases import OpenLease, Release, Renew, RevokeLease
from ironsecrets.principals import Agent, Principal
from ironsecrets.reading import ListEntries, MaskValue, RevealValue
from ironsecrets.removal import Delete, Destroy, Erase, Undelete
from ironsecrets.replay import replay
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
from properties.model import Grant, Lease, Model, covers
from properties.worlds import SetClock, new_vault, opened_again, world

numbers = st.integers(1, 4)
ttls = st.none() | s.spans
pick = st.integers(0, 10)
mostly_one = st.sampled_from((s.ENVIRONMENTS[0],) * 4 + s.ENVIRONMENTS)


class VaultMachine(RuleBasedStateMachine):
    """Every rule asks the vault and the model the same, and they must agree to the letter."""

    def __init__(self, make_store: Callable[[], Store]) -> None:
        super().__init__()
        self.store = make_store()
        self.world = world()
        self.clock = cast(SetClock, self.world.clock)
        self.vaults: list[Vault] = [new_vault(self.store, self.world)]
        self.turn = 0
        self.model = Model()
        self.tokens: list[tuple[str, str | None]] = [(agent, None) for agent in s.AGENTS]

    def ask(self, ask: Ask, expected: str, who: Principal = s.OPERATOR) -> Outcome | None:
        """Ask one of the processes in turn, and hold its verdict against the model's."""
        self.turn += 1
        match self.vaults[self.turn % len(self.vaults)].execute(who, ask):
            case Success(outcome):
                assert expected == "applied", f"applied, where the model says {expected}"
                return outcome
            case Failure(refusal):
                assert refusal.code == expected
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

    @rule(agent=s.agents, replace=st.booleans())
    def enroll(self, agent: Any, replace: bool) -> None:
        outcome = self.ask(NewToken(agent=agent, replace=replace), self.model.enroll(agent, "pending", replace))
        if outcome is not None and isinstance(outcome.command, Enroll) and outcome.disclosed is not None:
            self.model.agents[agent].token = outcome.command.token
            self.tokens.append((agent, outcome.command.token))
            handle = self.vaults[0].agent(outcome.disclosed.bytes().decode())
            assert handle.principal == Agent(agent, outcome.command.token)

    @rule(agent=s.agents, kind=st.sampled_from([Suspend, Resume, Resume, Remove]))
    def about_agent(self, agent: Any, kind: Any) -> None:
        name = {Suspend: "suspend", Resume: "resume", Remove: "remove"}[kind]
        self.ask(kind(agent=agent), getattr(self.model, name)(agent))

    @rule(
        agent=s.agents,
        selector=s.selectors,
        environment=mostly_one,
        default=s.spans,
        maximum=s.spans,
        expires=ttls,
        uses=st.none() | numbers,
    )
    def grant(
        self,
        agent: Any,
        selector: Any,
        environment: Any,
        default: int,
        maximum: int,
        expires: int | None,
        uses: int | None,
    ) -> None:
        now = self.clock.time
        made = Grant(agent, selector, environment, default, maximum, None if expires is None else now + expires, uses)
        verdict = self.model.grant("pending", now, made)
        draft = NewGrant(
            agent=agent,
            selector=selector,
            environment=environment,
            default_ttl=default,
            maximum_ttl=maximum,
            expires_in=expires,
            uses=uses,
        )
        outcome = self.ask(draft, verdict)
        if outcome is not None and isinstance(outcome.command, IssueGrant):
            self.model.grants[outcome.command.grant] = self.model.grants.pop("pending")

    @rule(which=pick, agent=s.agents, kind=st.sampled_from(["grant"] * 5 + ["lease"] * 3 + ["agent"] * 2 + ["all"]))
    def revoke(self, which: int, agent: Any, kind: str) -> None:
        if kind == "grant":
            known = [*sorted(self.model.grants), "gr_" + "0" * 16]
            key = GrantId(known[which % len(known)])
            self.ask(Revoke(grant=key), self.model.revoke(key))
        elif kind == "lease":
            lease = self.some_lease(which)
            self.ask(RevokeLease(lease=lease), self.model.revoke_lease(lease))
        elif kind == "agent":
            self.ask(RevokeAgent(agent=agent), self.model.revoke_agent(agent))
        else:
            self.ask(RevokeAll(), self.model.revoke_all())

    @initialize(data=st.data())
    def something_to_begin_with(self, data: st.DataObject) -> None:
        """Most rules need a secret and a grant to say anything; begin with some."""
        for name in data.draw(st.lists(s.names, min_size=2, max_size=4, unique=True)):
            for number in range(data.draw(st.integers(1, 3))):
                self.put(name, s.ENVIRONMENTS[0], b"from the beginning %d" % number)
        for _ in range(data.draw(st.integers(1, 3))):
            maximum = data.draw(s.spans)
            self.grant(
                data.draw(s.agents),
                data.draw(st.sampled_from([s.Selector("**"), s.Selector("openai/*"), s.Selector("key")])),
                s.ENVIRONMENTS[0],
                min(maximum, data.draw(s.spans)),
                maximum,
                data.draw(ttls),
                data.draw(st.none() | numbers),
            )

    @rule(who=pick, name=s.names, environment=mostly_one, ttl=ttls, label=s.labels)
    def lease(self, who: int, name: Any, environment: Any, ttl: int | None, label: Any) -> None:
        agent, token = self.tokens[who % len(self.tokens)]
        self.open_lease(agent, token, (environment, name), ttl, label)

    @rule(
        which=pick,
        name=pick,
        ttl=st.none() | ttls,
        label=s.labels,
        then=st.lists(st.sampled_from(["half", "half", "end", "past", "use", "renew", "renew", "suspend"]), max_size=4),
    )
    def main_line(self, which: int, name: int, ttl: int | None, label: Any, then: list[str]) -> None:
        """What agents really do: lease under a grant a secret that is there, use it, renew it, until it ends."""
        before = set(self.model.leases)
        self.lease_under_a_grant(which, name, ttl, label)
        for key in set(self.model.leases) - before:
            for what in then:
                lease = self.model.leases.get(key)
                if lease is None:
                    return
                self.one_step(what, key, lease, longest=bool(which % 3))
            self.use_or_renew(self.agent_of(key), None, LeaseId(key), None, "use")

    def agent_of(self, key: str) -> str:
        return self.model.leases[key].agent if key in self.model.leases else s.AGENTS[0]

    def one_step(self, what: str, key: str, lease: Lease, *, longest: bool) -> None:
        """Time passes for a lease, or its agent does what agents do, or is suspended for a moment."""
        if what == "suspend":
            self.about_agent(lease.agent, Suspend)
            self.about_agent(lease.agent, Resume)
            self.use_or_renew(lease.agent, None, LeaseId(key), None, "use")
        elif what == "half":
            self.clock.time += max(0, lease.ends - self.clock.time) // 2
        elif what in ("end", "past"):
            self.clock.time = max(self.clock.time, lease.ends + (what == "past"))
        else:
            grant = self.model.grants.get(lease.grant)
            ttl = grant.maximum if grant is not None and longest else None
            self.use_or_renew(lease.agent, None, LeaseId(key), ttl, what)

    def lease_under_a_grant(self, which: int, name: int, ttl: int | None, label: Any) -> None:
        """With a secret put and a grant issued first, where there is none."""
        if not self.model.grants:
            default, maximum = sorted((s.SPANS[which % len(s.SPANS)], s.SPANS[name % len(s.SPANS)]))
            agent = s.AGENTS[which % len(s.AGENTS)]
            self.grant(agent, s.Selector("**"), s.ENVIRONMENTS[0], default, maximum, None, None)
        grants = sorted(self.model.grants.items())
        _, grant = grants[which % len(grants)]
        fitting = [
            where
            for where, secret in self.model.secrets.items()
            if where[0] == grant.environment and covers(grant.selector, where[1]) and not secret.deleted
        ]
        where = fitting[name % len(fitting)] if fitting else (grant.environment, s.NAMES[name % len(s.NAMES)])
        if not fitting:
            self.put(where[1], where[0], b"put for the lease")
        self.open_lease(grant.agent, None, where, ttl, label)

    def open_lease(self, agent: str, token: str | None, where: tuple[Any, Any], ttl: int | None, label: Any) -> None:
        environment, name = where
        allowed = self.model.may_lease(self.clock.time, agent, token, where, ttl, label)
        expected = allowed if isinstance(allowed, str) else "applied"
        principal = Agent(AgentId(agent), None if token is None else TokenId(token))
        outcome = self.ask(NewLease(name=name, environment=environment, ttl=ttl, label=label), expected, principal)
        if outcome is not None and isinstance(outcome.command, OpenLease):
            grant = self.vaults[0].state.leases.by_id[outcome.command.lease].grant
            assert grant in allowed, "a lease under a grant that did not allow it"
            self.model.lease(outcome.command.lease, self.clock.time, agent, grant, where, ttl, label)
            assert outcome.disclosed is not None
            answer = self.model.answer(self.model.secrets[where], label, self.clock.time)
            assert outcome.disclosed.bytes() == answer

    def some_lease(self, which: int) -> LeaseId:
        known = sorted(self.model.leases)
        return LeaseId(known[which % len(known)] if known else "ls_" + "0" * 32)

    @rule(who=pick, which=pick, ttl=ttls, kind=st.sampled_from(["use", "use", "renew", "renew", "release"]))
    def about_lease(self, who: int, which: int, ttl: int | None, kind: str) -> None:
        """Mostly by whom it belongs to, and now and then by somebody else."""
        agent, token = self.tokens[who % len(self.tokens)]
        if who % 4 and self.model.leases:
            agent, token = self.model.leases[sorted(self.model.leases)[which % len(self.model.leases)]].agent, None
        self.use_or_renew(agent, token, self.some_lease(which), ttl, kind)

    def use_or_renew(self, agent: str, token: str | None, key: LeaseId, ttl: int | None, kind: str) -> None:
        now = self.clock.time
        principal = Agent(AgentId(agent), None if token is None else TokenId(token))
        if kind == "renew":
            self.ask(Renew(lease=key, ttl=ttl), self.model.renew(now, agent, token, key, ttl), principal)
        elif kind == "release":
            self.ask(Release(lease=key), self.model.release(agent, token, key), principal)
        else:
            expected = self.model.use(now, agent, token, key)
            match self.vaults[-1].use_lease(principal, key):
                case Success(value):
                    assert value.bytes() == expected
                case Failure(refusal):
                    assert refusal.code == expected
                case _:
                    raise AssertionError

    @rule(who=st.sampled_from([s.VIEWER, Agent(s.AGENTS[0])]), agent=s.agents)
    def not_permitted(self, who: Principal, agent: Any) -> None:
        self.ask(RevokeAll(), "not-permitted", who)
        self.ask(NewToken(agent=agent, replace=True), "not-permitted", who)
        self.ask(ListEntries(what="secrets"), "applied" if who == s.VIEWER else "not-permitted", who)

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

    @rule(which=pick, off=st.sampled_from([-1, 0, 0, 1]))
    def time_passes_to_an_end(self, which: int, off: int) -> None:
        """To just before, at, or just after the moment when something ends."""
        ends = [lease.ends for lease in self.model.leases.values()]
        ends += [secret.previous_ends for secret in self.model.secrets.values() if secret.previous is not None]
        ends += [grant.ends for grant in self.model.grants.values() if grant.ends is not None]
        ahead = sorted(end for end in ends if end + off >= self.clock.time)
        if ahead:
            self.clock.time = ahead[which % len(ahead)] + off

    @precondition(lambda self: len(cast(VaultMachine, self).vaults) < 3)
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
