"""A state machine that drives a vault on any store next to the independent model."""

from collections.abc import Callable
from typing import Any

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from returns.result import Failure, Success

from interpreters.store import Store
from ironsecrets.access_requests import (
    ApproveRequest,
    DeclineRequest,
    RequestAccess,
    RequestPolicy,
    SetRequestPolicy,
)
from ironsecrets.agents import Enroll, LimitAgent, Remove, Resume, Suspend
from ironsecrets.conditions import DEFAULT_TERMS
from ironsecrets.conditions import Terms as CoreTerms
from ironsecrets.drafts import (
    NewAccessRequest,
    NewApproval,
    NewBreakGlass,
    NewGrant,
    NewLease,
    NewToken,
)
from ironsecrets.grants import BreakGlass, IssueGrant, Revoke, RevokeAgent, RevokeAll
from ironsecrets.identifiers import AccessRequestId, AgentId, GrantId, LeaseId
from ironsecrets.kill_switch import Seal, Unseal
from ironsecrets.leases import OpenLease, Release, Renew, RevokeLease
from ironsecrets.principals import Agent, Claims, Operator, Principal
from ironsecrets.rates import Rate
from ironsecrets.reading import ListEntries
from ironsecrets.suspension import SetSuspensionPolicy, SuspensionPolicy
from properties import strategies as s
from properties.model import AccessRequest, Grant, Lease, Terms, inside
from properties.secret_model import covers
from properties.secret_rules import SecretRules, mostly_one, pick, who_of
from properties.worlds import EPOCH, SECOND

ttls = st.none() | s.spans
EVERYTHING = Claims(permissions=s.PERMISSIONS)


def plain_rate(rate: Rate | None) -> tuple[int, int, int] | None:
    """A rate as the model knows it."""
    return None if rate is None else (rate.burst, rate.count, rate.per)


def both_terms(now: int, terms: CoreTerms, hours: tuple[str, ...]) -> tuple[CoreTerms, Terms]:
    """Terms for the vault, and the same for the model."""
    core = attrs.evolve(terms, windows=tuple(s.WINDOWS[text] for text in hours))
    return core, Terms(
        default=terms.default_ttl,
        maximum=terms.maximum_ttl,
        ends=None if terms.expires_in is None else now + terms.expires_in,
        uses=terms.uses,
        begins=terms.not_before,
        rate=plain_rate(terms.rate),
        windows=hours,
        permission=terms.permission,
    )


class VaultMachine(SecretRules):
    """Every rule asks the vault and the model the same, and they must agree to the letter."""

    def __init__(self, make_store: Callable[[], Store]) -> None:
        super().__init__(make_store)
        self.principals = [Agent(agent) for agent in s.AGENTS]
        self.principals += [Agent(agent, claims=EVERYTHING) for agent in s.AGENTS]
        self.principals.append(
            Agent(s.AGENTS[0], claims=Claims(permissions=("llm:call",), expires_at=EPOCH + 60 * SECOND))
        )

    @rule(agent=s.agents, replace=st.booleans(), lasts=ttls)
    def enroll(self, agent: Any, replace: bool, lasts: int | None) -> None:
        outcome = self.ask(NewToken(agent=agent, replace=replace), self.model.enroll(agent, "pending", replace))
        if outcome is not None and isinstance(outcome.command, Enroll) and outcome.disclosed is not None:
            token = outcome.command.token
            self.model.agents[agent].token = token
            ends = None if lasts is None else self.clock.time + lasts
            self.principals += [
                Agent(agent, token),
                Agent(agent, token, Claims(permissions=s.PERMISSIONS, expires_at=ends)),
            ]
            handle = self.vaults[0].agent(outcome.disclosed.bytes().decode())
            assert handle.principal == Agent(agent, token)

    @rule(agent=s.agents, kind=st.sampled_from([Suspend, Resume, Resume, Remove]))
    def about_agent(self, agent: Any, kind: Any) -> None:
        name = {Suspend: "suspend", Resume: "resume", Remove: "remove"}[kind]
        self.ask(kind(agent=agent), getattr(self.model, name)(agent))

    @rule(agent=s.agents, rate=s.rates)
    def limit(self, agent: Any, rate: Rate | None) -> None:
        self.ask(LimitAgent(agent=agent, rate=rate), self.model.limit(agent, plain_rate(rate)))

    @rule(policy=s.suspension_policies)
    def suspension(self, policy: SuspensionPolicy | None) -> None:
        self.model.suspension = None if policy is None else (policy.refusals, policy.within)
        self.ask(SetSuspensionPolicy(policy=policy), "applied")

    @rule(which=pick, way=st.sampled_from(["seal", "unseal", "unseal"]))
    def kill_switch(self, which: int, way: str) -> None:
        """Mostly off, or nothing would happen."""
        if way == "unseal":
            self.ask(Unseal(), self.model.unseal())
        elif which < 3:
            self.ask(Seal(), self.model.seal())
            self.lease_under_a_grant(which, which, None, "current")
            self.ask(Unseal(), self.model.unseal())

    @rule(
        agent=s.agents,
        selector=s.selectors,
        environment=mostly_one,
        terms=s.terms,
        ahead=st.sampled_from([None, None, None, 0, 1, 60 * SECOND]),
        hours=st.just(()) | s.hours,
        glass=st.sampled_from([False, False, False, True]),
    )
    def grant(
        self,
        agent: Any,
        selector: Any,
        environment: Any,
        terms: CoreTerms,
        ahead: int | None,
        hours: tuple[str, ...],
        glass: bool,
    ) -> None:
        now = self.clock.time
        terms = attrs.evolve(terms, not_before=None if ahead is None else now + ahead)
        core, plain = both_terms(now, terms, hours)
        verdict = self.model.grant("pending", now, Grant(agent, selector, environment, plain), glass=glass)
        asked: dict[str, Any] = {"agent": agent, "selector": selector, "environment": environment, "terms": core}
        outcome = self.ask(NewBreakGlass(**asked, reason="because") if glass else NewGrant(**asked), verdict)
        if outcome is not None and isinstance(outcome.command, IssueGrant | BreakGlass):
            self.model.grants[outcome.command.grant] = self.model.grants.pop("pending")

    @rule(which=pick, name=s.names, environment=mostly_one)
    def ask_for_access(self, which: int, name: Any, environment: Any) -> None:
        who = self.principals[which % len(self.principals)]
        verdict = self.model.ask_for("pending", self.clock.time, who_of(who), (environment, name))
        outcome = self.ask(NewAccessRequest(name=name, environment=environment, reason="please"), verdict, who)
        if outcome is not None and isinstance(outcome.command, RequestAccess):
            self.model.requests[outcome.command.access_request] = self.model.requests.pop("pending")

    @rule(
        which=pick,
        by=st.sampled_from([s.OPERATOR, s.OTHER_OPERATOR]),
        terms=st.none() | st.none() | s.terms,
        agree=st.booleans(),
    )
    def approve(self, which: int, by: Operator, terms: CoreTerms | None, agree: bool) -> None:
        """Mostly on the terms that somebody has proposed, and mostly by another one next."""
        now = self.clock.time
        known = sorted(self.model.requests)
        key = AccessRequestId(known[which % len(known)] if known else "ar_" + "0" * 16)
        self.one_approval(key, by, terms, now)
        if agree and key in self.model.requests:
            other = s.OTHER_OPERATOR if by == s.OPERATOR else s.OPERATOR
            self.one_approval(key, other, None, now)

    def one_approval(self, key: AccessRequestId, by: Operator, terms: CoreTerms | None, now: int) -> None:
        asked = self.model.requests.get(key, AccessRequest("", ("", ""), 0))
        core, plain = both_terms(now, attrs.evolve(terms or DEFAULT_TERMS, not_before=None), ())
        given = None if terms is None else core
        if terms is None and asked.terms is not None:
            plain = asked.terms
        before = set(self.model.grants)
        verdict = self.model.approve(key, now, by.name, plain, "pending")
        outcome = self.ask(NewApproval(access_request=key, terms=given), verdict, by)
        if outcome is not None and isinstance(outcome.command, ApproveRequest) and "pending" in self.model.grants:
            self.model.grants[outcome.command.grant] = self.model.grants.pop("pending")
        assert len(self.model.grants) - len(before) in (0, 1)

    @rule(which=pick, policy=st.none() | s.request_policies)
    def decline(self, which: int, policy: RequestPolicy | None) -> None:
        """Or change how requests are settled."""
        if policy is not None:
            self.model.approvals, self.model.lifetime = policy.approvals, policy.lifetime
            self.ask(SetRequestPolicy(policy=policy), "applied")
            return
        known = [*sorted(self.model.requests), "ar_" + "0" * 16]
        key = AccessRequestId(known[which % len(known)])
        self.ask(DeclineRequest(access_request=key), self.model.decline(key))

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
            default, maximum = sorted((data.draw(s.spans), data.draw(s.spans)))
            terms = attrs.evolve(data.draw(s.terms), default_ttl=default, maximum_ttl=maximum)
            self.grant(
                data.draw(s.agents),
                data.draw(st.sampled_from([s.Selector("**"), s.Selector("openai/*"), s.Selector("key")])),
                s.ENVIRONMENTS[0],
                terms,
                None,
                (),
                glass=False,
            )

    @rule(who=pick, name=s.names, environment=mostly_one, ttl=ttls, label=s.labels)
    def lease(self, who: int, name: Any, environment: Any, ttl: int | None, label: Any) -> None:
        self.open_lease(self.principals[who % len(self.principals)], (environment, name), ttl, label)

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
            self.use_or_renew(self.agent_of(key), LeaseId(key), None, "use")

    def agent_of(self, key: str) -> Agent:
        """Whose lease it is, with every permission there is."""
        agent = self.model.leases[key].agent if key in self.model.leases else s.AGENTS[0]
        return Agent(AgentId(agent), claims=EVERYTHING)

    def one_step(self, what: str, key: str, lease: Lease, *, longest: bool) -> None:
        """Time passes for a lease, or its agent does what agents do, or is suspended for a moment."""
        if what == "suspend":
            self.about_agent(lease.agent, Suspend)
            self.about_agent(lease.agent, Resume)
            self.use_or_renew(self.agent_of(key), LeaseId(key), None, "use")
        elif what == "half":
            self.clock.time += max(0, lease.ends - self.clock.time) // 2
        elif what in ("end", "past"):
            self.clock.time = max(self.clock.time, lease.ends + (what == "past"))
        else:
            grant = self.model.grants.get(lease.grant)
            ttl = grant.terms.maximum if grant is not None and longest else None
            self.use_or_renew(self.agent_of(key), LeaseId(key), ttl, what)

    def lease_under_a_grant(self, which: int, name: int, ttl: int | None, label: Any) -> None:
        """With a secret put and a grant issued first, where there is none."""
        if not self.model.grants:
            default, maximum = sorted((s.SPANS[which % len(s.SPANS)], s.SPANS[name % len(s.SPANS)]))
            agent = s.AGENTS[which % len(s.AGENTS)]
            terms = CoreTerms(default_ttl=default, maximum_ttl=maximum)
            self.grant(agent, s.Selector("**"), s.ENVIRONMENTS[0], terms, None, (), glass=False)
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
        self.open_lease(Agent(AgentId(grant.agent), claims=EVERYTHING), where, ttl, label)

    def open_lease(self, who: Agent, where: tuple[Any, Any], ttl: int | None, label: Any) -> None:
        environment, name = where
        allowed = self.model.may_lease(self.clock.time, who_of(who), where, ttl, label)
        expected = allowed if isinstance(allowed, str) else "applied"
        outcome = self.ask(NewLease(name=name, environment=environment, ttl=ttl, label=label), expected, who)
        if outcome is not None and isinstance(outcome.command, OpenLease):
            grant = self.vaults[0].state.leases.by_id[outcome.command.lease].grant
            assert grant in allowed, "a lease under a grant that did not allow it"
            self.model.lease(outcome.command.lease, self.clock.time, who.id, grant, where, ttl, label)
            assert outcome.disclosed is not None
            answer = self.model.answer(self.model.secrets[where], label, self.clock.time)
            assert outcome.disclosed.bytes() == answer

    def some_lease(self, which: int) -> LeaseId:
        known = sorted(self.model.leases)
        return LeaseId(known[which % len(known)] if known else "ls_" + "0" * 32)

    @rule(who=pick, which=pick, ttl=ttls, kind=st.sampled_from(["use", "use", "renew", "renew", "release"]))
    def about_lease(self, who: int, which: int, ttl: int | None, kind: str) -> None:
        """Mostly by whom it belongs to, and now and then by somebody else."""
        asking = self.principals[who % len(self.principals)]
        if who % 4 and self.model.leases:
            asking = self.agent_of(self.some_lease(which))
        self.use_or_renew(asking, self.some_lease(which), ttl, kind)

    def use_or_renew(self, principal: Agent, key: LeaseId, ttl: int | None, kind: str) -> None:
        now, who = self.clock.time, who_of(principal)
        if kind == "renew":
            self.ask(Renew(lease=key, ttl=ttl), self.model.renew(now, who, key, ttl), principal)
        elif kind == "release":
            self.ask(Release(lease=key), self.model.release(now, who, key), principal)
        else:
            expected = self.model.use(now, who, key)
            match self.vaults[-1].use_lease(principal, key):
                case Success(value):
                    assert value.bytes() == expected
                case Failure(refusal):
                    assert refusal.code == expected
                case _:
                    raise AssertionError

    @rule(who=st.sampled_from([s.VIEWER, Agent(s.AGENTS[0])]), agent=s.agents)
    def not_permitted(self, who: Principal, agent: Any) -> None:
        refused = "vault-sealed" if self.model.sealed and who != s.VIEWER else "not-permitted"
        self.ask(RevokeAll(), refused, who)
        self.ask(NewToken(agent=agent, replace=True), refused, who)
        self.ask(ListEntries(what="secrets"), "applied" if who == s.VIEWER else refused, who)

    @rule(which=pick, off=st.sampled_from([-1, 0, 0, 1]))
    def time_passes_to_an_end(self, which: int, off: int) -> None:
        """To just before, at, or just after the moment when something ends."""
        ends = [lease.ends for lease in self.model.leases.values()]
        ends += [secret.previous_ends for secret in self.model.secrets.values() if secret.previous is not None]
        terms = [grant.terms for grant in self.model.grants.values()]
        ends += [moment for one in terms for moment in (one.ends, one.begins) if moment is not None]
        ends += [request.ends for request in self.model.requests.values()]
        ends += [moment for one in terms for window in one.windows for moment in self.switches(window)]
        for agent in self.model.agents.values():
            ends += [agent.leases.since + agent.leases.water, agent.refusals.since + agent.refusals.water]
        for grant in self.model.grants.values():
            ends.append(grant.bucket.since + grant.bucket.water)
        ahead = sorted(end for end in ends if end + off >= self.clock.time)
        if ahead:
            self.clock.time = ahead[which % len(ahead)] + off

    def switches(self, window: str) -> list[int]:
        """When a window opens or closes within two days, to the quarter of an hour."""
        quarter = 900 * SECOND
        first = self.clock.time // quarter + 1
        moments = [number * quarter for number in range(first, first + 200)]
        return [moment for moment in moments if inside(window, moment) != inside(window, moment - 1)]
