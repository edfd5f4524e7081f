"""Law 2: no lease without a grant that was live at that moment, for that environment and name."""

from collections.abc import Callable

import attrs
from hypothesis import given, settings
from hypothesis.stateful import run_state_machine_as_test
from returns.result import Success

from interpreters.store import Store
from ironsecrets.audit import decide
from ironsecrets.grants import Revoke, RevokeAgent, RevokeAll
from ironsecrets.identifiers import covers, selectors_for
from ironsecrets.leases import OpenLease
from ironsecrets.principals import Agent
from ironsecrets.state import EMPTY, VaultState
from ironsecrets.vault import Request, apply
from properties import secret_model as model
from properties import strategies as s
from properties.machines import VaultMachine


def test_the_vault_and_the_model_agree(make_store: Callable[[], Store]) -> None:
    class Machine(VaultMachine):
        def __init__(self) -> None:
            super().__init__(make_store)

    # A history says little before it is long: three times as many as of other laws.
    run_state_machine_as_test(Machine, settings=settings(max_examples=3 * settings().max_examples))


@given(s.histories(most=40))
def test_no_lease_without_a_live_grant(history: list[Request]) -> None:
    state = EMPTY
    for request in history:
        before, decision = state, decide(state, request)
        state = decision.state
        if isinstance(request.command, OpenLease) and decision.refusal is None:
            assert isinstance(request.principal, Agent)
            lease = state.leases.by_id[request.command.lease]
            grant = before.grants.by_id[lease.grant]
            assert (grant.agent, grant.environment) == (request.principal.id, request.command.environment)
            assert model.covers(grant.selector, request.command.name)
            terms = grant.conditions
            assert terms.expires_at is None or request.at < terms.expires_at
            assert terms.not_before is None or terms.not_before <= request.at
            assert terms.uses is None or grant.used < terms.uses
            claims = request.principal.claims
            assert terms.permission is None or (claims is not None and terms.permission in claims.permissions)
            assert lease.expires_at - lease.opened_at <= terms.maximum_ttl
            assert before.sealed is None
            assert lease.agent == request.principal.id


def usable(state: VaultState, at: int) -> set[tuple[str, str, str]]:
    """What anybody could lease at ``at``: agent, environment, name."""
    found: set[tuple[str, str, str]] = set()
    for agent in s.AGENTS:
        for environment in s.ENVIRONMENTS:
            for name in s.NAMES:
                asked = Request(
                    at=at,
                    command=OpenLease(environment=environment, name=name, lease=s.LeaseId("ls_" + "f" * 32)),
                    id=s.RequestId("rq_" + "0" * 32),
                    principal=Agent(agent),
                )
                if isinstance(apply(state, asked), Success):
                    found.add((agent, environment, name))
    return found


@given(s.histories(most=30), s.commands.filter(lambda c: isinstance(c, Revoke | RevokeAgent | RevokeAll)))
def test_revoking_never_widens_access(history: list[Request], revocation: Revoke | RevokeAgent | RevokeAll) -> None:
    state = EMPTY
    for request in history:
        state = decide(state, request).state
    asked = attrs.evolve(history[0], at=history[-1].at, command=revocation, principal=s.OPERATOR)
    after = decide(state, asked).state
    assert usable(after, asked.at) <= usable(state, asked.at)
    assert set(after.leases.by_id) <= set(state.leases.by_id)


@given(s.any_selectors, s.any_names)
def test_selectors_cover_what_they_say(selector: s.Selector, name: s.SecretName) -> None:
    assert covers(selector, name) == model.covers(selector, name)
    assert all(model.covers(one, name) for one in selectors_for(name))
