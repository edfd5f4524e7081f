"""Access: what commands about agents, grants, leases, requests and the kill switch make of the whole state.

Each capability decides in a room of its own; here their answers are put together, and here stands what follows
from a refusal: too many of them suspend an agent.
"""

from typing import Any, assert_never

from returns.result import Failure, Success

from ironsecrets import access_requests as asking
from ironsecrets import agents as agency
from ironsecrets import grants as granting
from ironsecrets import kill_switch as sealing_off
from ironsecrets import leases as leasing
from ironsecrets import suspension
from ironsecrets.frozen import evolve
from ironsecrets.identifiers import AgentId
from ironsecrets.principals import NOT_PERMITTED, Agent, Operator, Principal
from ironsecrets.refusals import Refusal
from ironsecrets.state import Applied, Transition, VaultState

AgentCommand = (
    agency.Enroll | agency.Suspend | agency.Resume | agency.Remove | agency.LimitAgent | suspension.SetSuspensionPolicy
)
GrantCommand = granting.IssueGrant | granting.BreakGlass | granting.Revoke | granting.RevokeAgent | granting.RevokeAll
LeaseCommand = leasing.OpenLease | leasing.Renew | leasing.Release
AccessRequestCommand = asking.ApproveRequest | asking.DeclineRequest | asking.SetRequestPolicy
KillSwitchCommand = sealing_off.Seal | sealing_off.Unseal
# Leases first: what most entries are is looked for first.
AccessCommand = (
    LeaseCommand
    | AgentCommand
    | GrantCommand
    | leasing.RevokeLease
    | asking.RequestAccess
    | AccessRequestCommand
    | KillSwitchCommand
)


def change(state: VaultState, at: int, principal: Principal, command: AccessCommand) -> Applied:
    """Decide one of these commands. Refusals: ``not-permitted``, and each capability's own."""
    if isinstance(command, LeaseCommand):
        return _lease(state, at, principal, command) if isinstance(principal, Agent) else Failure(NOT_PERMITTED)
    if isinstance(command, asking.RequestAccess):
        return _request(state, at, principal, command) if isinstance(principal, Agent) else Failure(NOT_PERMITTED)
    if not isinstance(principal, Operator):
        return Failure(NOT_PERMITTED)
    if isinstance(command, AgentCommand):
        return _agent(state, at, command)
    if isinstance(command, GrantCommand):
        return _grant(state, at, command)
    if isinstance(command, AccessRequestCommand):
        return _settle(state, at, principal, command)
    if isinstance(command, leasing.RevokeLease):
        return leasing.revoke_lease(state.leases, command).map(lambda leases: Transition(evolve(state, leases=leases)))
    return _kill_switch(state, at, principal, command)


def after_refusal(state: VaultState, at: int, principal: Principal, refusal: Refusal) -> VaultState:
    """The state after ``principal`` was refused: an admitted agent's refusals count, and too many suspend it."""
    if not isinstance(principal, Agent) or refusal.code not in suspension.COUNTED:
        return state
    record = agency.admit(state.agents, at, principal)
    if isinstance(record, Refusal):
        return state
    counted = suspension.struck(state.oversight.suspension, record, at)
    if counted is record:
        return state
    leases = state.leases if counted.suspended_at is None else state.leases.without_agent(principal.id)
    return evolve(state, agents=state.agents.keep(counted), leases=leases)


def _agent(state: VaultState, at: int, command: AgentCommand) -> Applied:
    def kept(agents: agency.Agents) -> Transition:
        return Transition(evolve(state, agents=agents))

    agents = state.agents
    match command:
        case agency.Enroll():
            return agency.enroll(agents, at, command).map(kept)
        case agency.Suspend():
            leases = state.leases.without_agent(command.agent)
            return agency.suspend(agents, at, command).map(
                lambda changed: Transition(evolve(state, agents=changed, leases=leases))
            )
        case agency.Resume():
            return agency.resume(agents, command).map(kept)
        case agency.Remove():
            return agency.remove(agents, command).map(lambda changed: _without(state, command.agent, changed))
        case agency.LimitAgent():
            return agency.limit(agents, command).map(kept)
        case suspension.SetSuspensionPolicy():
            return Success(_overseen(state, suspension=command.policy))
        case _:
            assert_never(command)


def _without(state: VaultState, agent: AgentId, agents: agency.Agents) -> Transition:
    return Transition(
        evolve(
            state,
            agents=agents,
            grants=granting.revoke_agent(state.grants, agent),
            leases=state.leases.without_agent(agent),
            oversight=evolve(state.oversight, access_requests=state.oversight.access_requests.without_agent(agent)),
        )
    )


def _grant(state: VaultState, at: int, command: GrantCommand) -> Applied:
    match command:
        case granting.IssueGrant() | granting.BreakGlass():
            agents = state.agents.known(command.agent, at)
            return granting.issue(state.grants, at, command).map(
                lambda grants: Transition(evolve(state, agents=agents, grants=grants))
            )
        case granting.Revoke():
            return granting.revoke(state.grants, command).map(lambda grants: Transition(evolve(state, grants=grants)))
        case granting.RevokeAgent():
            if command.agent not in state.agents.by_id:
                return Failure(agency.UNKNOWN_AGENT)
            grants = granting.revoke_agent(state.grants, command.agent)
            leases = state.leases.without_agent(command.agent)
            return Success(Transition(evolve(state, grants=grants, leases=leases)))
        case granting.RevokeAll():
            return Success(Transition(evolve(state, grants=granting.Grants(), leases=leasing.Leases())))
        case _:
            assert_never(command)


def _lease(state: VaultState, at: int, agent: Agent, command: LeaseCommand) -> Applied:
    def kept(leases: leasing.Leases) -> Transition:
        return Transition(evolve(state, leases=leases))

    match command:
        case leasing.OpenLease():
            match leasing.open_lease(state, at, agent, command):
                case Success(opened):
                    after = evolve(state, agents=opened.agents, grants=opened.grants, leases=opened.leases)
                    return Success(Transition(after, (opened.reveal,)))
                case Failure(refusal):
                    return Failure(refusal)
                case _:
                    raise AssertionError
        case leasing.Renew():
            return leasing.renew(state, at, agent, command).map(kept)
        case leasing.Release():
            return leasing.release(state, at, agent, command).map(kept)
        case _:
            assert_never(command)


def _overseen(state: VaultState, **changes: Any) -> Transition:
    return Transition(evolve(state, oversight=evolve(state.oversight, **changes)))


def _asking(state: VaultState) -> asking.Asking:
    return asking.Asking(
        agents=state.agents,
        grants=state.grants,
        policy=state.oversight.request_policy,
        requests=state.oversight.access_requests,
    )


def _request(state: VaultState, at: int, agent: Agent, command: asking.RequestAccess) -> Applied:
    return asking.request_access(_asking(state), at, agent, command).map(
        lambda requests: _overseen(state, access_requests=requests)
    )


def _settle(state: VaultState, at: int, operator: Operator, command: AccessRequestCommand) -> Applied:
    match command:
        case asking.ApproveRequest():
            return asking.approve(_asking(state), at, operator.name, command).map(
                lambda after: _overseen(evolve(state, grants=after[1]), access_requests=after[0])
            )
        case asking.DeclineRequest():
            return asking.decline(state.oversight.access_requests, command).map(
                lambda requests: _overseen(state, access_requests=requests)
            )
        case asking.SetRequestPolicy():
            return Success(_overseen(state, request_policy=command.policy))
        case _:
            assert_never(command)


def _kill_switch(state: VaultState, at: int, operator: Operator, command: KillSwitchCommand) -> Applied:
    match command:
        case sealing_off.Seal():
            return sealing_off.seal(state.sealed, at, operator.name, command).map(
                lambda sealed: _overseen(evolve(state, leases=leasing.Leases()), sealed=sealed)
            )
        case sealing_off.Unseal():
            return sealing_off.unseal(state.sealed).map(lambda _: _overseen(state, sealed=None))
        case _:
            assert_never(command)
