"""What operators decide about access: agents and their tokens, grants, access requests, the kill switch."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Unpack

from interpreters.conversions import MICROSECOND, accepted
from interpreters.grant_terms import TermOptions, parse_rate, terms_of
from interpreters.ic_tokens import ICTokens
from interpreters.outcome import Outcome
from interpreters.viewer_handle import ViewerHandle
from ironsecrets import identifiers as ids
from ironsecrets.access_requests import ApproveRequest, DeclineRequest, RequestPolicy, SetRequestPolicy
from ironsecrets.agents import Enroll, LimitAgent, Remove, Resume, Suspend
from ironsecrets.conditions import Terms
from ironsecrets.drafts import NewApproval, NewBreakGlass, NewGrant, NewToken
from ironsecrets.grants import BreakGlass, IssueGrant, Revoke, RevokeAgent, RevokeAll
from ironsecrets.ic_tokens import ic_token_digest, ic_token_id
from ironsecrets.kill_switch import Seal, Unseal
from ironsecrets.leases import RevokeLease
from ironsecrets.metadata import parse_reason
from ironsecrets.rates import Rate
from ironsecrets.sensitive import Sensitive
from ironsecrets.suspension import SetSuspensionPolicy, SuspensionPolicy

BREAK_GLASS = timedelta(minutes=15)


class AccessHandle(ViewerHandle):
    """An operator's decisions about access. Every method is one decision in the log."""

    def enroll(self, agent: str, *, replace: bool = False) -> Sensitive:
        """Give an agent its token, shown this once and kept as a digest. ``replace`` ends the one it has."""
        draft = NewToken(agent=accepted(ids.parse_agent_id(agent)), replace=replace)
        return self._ask(draft, agent).disclosed or Sensitive(b"")

    def suspend(self, agent: str) -> None:
        """End an agent's leases and refuse it everything until it is resumed."""
        self._ask(Suspend(agent=accepted(ids.parse_agent_id(agent))), agent)

    def resume(self, agent: str) -> None:
        """End a suspension."""
        self._ask(Resume(agent=accepted(ids.parse_agent_id(agent))), agent)

    def remove(self, agent: str) -> None:
        """Forget an agent with its token, grants and leases."""
        self._ask(Remove(agent=accepted(ids.parse_agent_id(agent))), agent)

    def enroll_ic(
        self,
        agent: str,
        tokens: ICTokens,
        *,
        budget: str,
        permissions: Sequence[str] = (),
        expires_in: timedelta | None = None,
        replace: bool = False,
    ) -> Sensitive:
        """Give an agent an IC token, signed by ``tokens``, as its one valid token. ``replace`` ends the one it has.

        One that says the same within the same second is the same token, and is refused (``token-taken``).
        """
        made = tokens.issue(agent, budget=budget, permissions=permissions, expires_in=expires_in)
        self._enroll_ic(agent, made.bytes().decode(), replace=replace)
        return made

    def adopt_ic(self, token: str, tokens: ICTokens, *, replace: bool = False) -> ids.AgentId:
        """Take an IC token that a control panel has issued for its agent's one valid token; the agent's id."""
        agent = accepted(tokens.authorise(token)).id
        self._enroll_ic(agent, token, replace=replace)
        return agent

    def _enroll_ic(self, agent: str, token: str, *, replace: bool) -> None:
        digest = ic_token_digest(token)
        command = Enroll(
            agent=accepted(ids.parse_agent_id(agent)), digest=digest, replace=replace, token=ic_token_id(digest)
        )
        self._ask(command, agent)

    def limit(self, agent: str, rate: str | Rate | None) -> None:
        """How many leases an agent may have under all its grants together, such as ``100/1h``; None: no limit."""
        limited = accepted(parse_rate(rate)) if isinstance(rate, str) else rate
        self._ask(LimitAgent(agent=accepted(ids.parse_agent_id(agent)), rate=limited), agent)

    def auto_suspend(self, *, refusals: int = 20, within: timedelta | None = timedelta(minutes=10)) -> None:
        """Suspend an agent by itself that is refused more than ``refusals`` times ``within`` so long; ``within`` None:
        never."""
        policy = None if within is None else SuspensionPolicy(refusals=refusals, within=within // MICROSECOND)
        self._ask(SetSuspensionPolicy(policy=policy))

    def grant(self, agent: str, selector: str, *, environment: str, **terms: Unpack[TermOptions]) -> ids.GrantId:
        """Let ``agent`` lease what ``selector`` covers, on these :class:`terms <TermOptions>`; the grant's id."""
        draft = NewGrant(
            agent=accepted(ids.parse_agent_id(agent)),
            selector=accepted(ids.parse_selector(selector)),
            environment=accepted(ids.parse_environment(environment)),
            terms=self._terms(terms),
        )
        return _grant_of(self._ask(draft, agent))

    def break_glass(
        self, agent: str, selector: str, *, environment: str, reason: str, **terms: Unpack[TermOptions]
    ) -> ids.GrantId:
        """Grant in an emergency, and say why: it ends within an hour (``expires_in``: 15 minutes), and everybody who
        listens is told (:class:`ironsecrets.Event` ``break-glass``, sinks at ``CRITICAL``); the grant's id."""
        draft = NewBreakGlass(
            agent=accepted(ids.parse_agent_id(agent)),
            selector=accepted(ids.parse_selector(selector)),
            environment=accepted(ids.parse_environment(environment)),
            reason=accepted(parse_reason(reason)),
            terms=self._terms({"expires_in": BREAK_GLASS, "ttl": BREAK_GLASS, **terms}),
        )
        return _grant_of(self._ask(draft, agent))

    def _terms(self, options: TermOptions) -> Terms:
        return terms_of(self._engine.now(), **options)

    def revoke(self, grant: str) -> None:
        """End one grant and its leases, at once and in every process."""
        self._ask(Revoke(grant=accepted(ids.parse_grant_id(grant))), grant)

    def revoke_agent(self, agent: str) -> None:
        """End every grant and lease of one agent."""
        self._ask(RevokeAgent(agent=accepted(ids.parse_agent_id(agent))), agent)

    def revoke_all(self) -> None:
        """End every grant and every lease."""
        self._ask(RevokeAll())

    def revoke_lease(self, lease: str) -> None:
        """End one lease; its grant stays."""
        self._ask(RevokeLease(lease=accepted(ids.parse_lease_id(lease))), lease)

    def approve(self, request: str, **terms: Unpack[TermOptions]) -> ids.GrantId | None:
        """Agree to an access request; the grant's id, or None where another operator must agree too.

        Without terms: those that another operator has proposed, else leases of 15 minutes for a day.
        """
        key = accepted(ids.parse_access_request_id(request))
        given = None if not terms else self._terms({"expires_in": timedelta(days=1), **terms})
        match self._ask(NewApproval(access_request=key, terms=given), request).command:
            case ApproveRequest(grant=grant):
                return grant if grant in self._engine.state.grants.by_id else None
            case _:
                raise AssertionError

    def decline(self, request: str, *, reason: str | None = None) -> None:
        """End an access request without a grant."""
        why = None if reason is None else accepted(parse_reason(reason))
        key = accepted(ids.parse_access_request_id(request))
        self._ask(DeclineRequest(access_request=key, reason=why), request)

    def request_policy(self, *, approvals: int = 1, lifetime: timedelta = timedelta(days=1)) -> None:
        """How many operators must agree to a request (1 or 2), and how long it stays open."""
        self._ask(SetRequestPolicy(policy=RequestPolicy(approvals=approvals, lifetime=lifetime // MICROSECOND)))

    def seal(self, *, reason: str | None = None) -> None:
        """The kill switch: end every lease and refuse every agent, at once and in every process, until :meth:`unseal`.

        Grants stay as they are.
        """
        self._ask(Seal(reason=None if reason is None else accepted(parse_reason(reason))))

    def unseal(self) -> None:
        """Let agents ask again."""
        self._ask(Unseal())


def _grant_of(outcome: Outcome) -> ids.GrantId:
    match outcome.command:
        case IssueGrant(grant=grant) | BreakGlass(grant=grant):
            return grant
        case _:
            raise AssertionError
