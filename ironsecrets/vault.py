"""The state machine: every command, and ``apply``, which dispatches and decides nothing itself.

``apply`` is total: for anything that a caller can send it returns ``Success(Transition)`` or
``Failure(Refusal)``. It reads no clock, no disk and no random source: all it needs is in the request.
"""

from typing import Literal, assert_never

import attrs
from returns.result import Failure, Result, Success

from ironsecrets import agents as agency
from ironsecrets import epochs as keying
from ironsecrets import grants as granting
from ironsecrets import leases as leasing
from ironsecrets import reading, removal
from ironsecrets import rotation as rotating
from ironsecrets import secrets as keeping
from ironsecrets import slots as unlocking
from ironsecrets.effects import Effect, EraseRecord, KeepRecord
from ironsecrets.header import SlotKind
from ironsecrets.identifiers import DigestField, RequestId, SlotIdField, VaultIdField
from ironsecrets.principals import NOT_PERMITTED, Agent, Operator, Principal, may_ask
from ironsecrets.refusals import Refusal
from ironsecrets.state import VaultState

NO_VAULT = Refusal("no-vault", "the vault is not created yet")
VAULT_EXISTS = Refusal("vault-exists", "the vault is created already")


@attrs.frozen(kw_only=True)
class Create:
    """The first command of every log: the vault, the digest of its header, and its first slot."""

    header: DigestField
    kind: SlotKind
    slot: SlotIdField
    type: Literal["create"] = "create"
    vault: VaultIdField


SecretCommand = (
    keeping.Put
    | keeping.Describe
    | keeping.Rollback
    | removal.Destroy
    | removal.Delete
    | removal.Undelete
    | removal.Erase
)
ReadCommand = reading.RevealValue | reading.MaskValue | reading.ListEntries
AgentCommand = agency.Enroll | agency.Suspend | agency.Resume | agency.Remove
GrantCommand = granting.IssueGrant | granting.Revoke | granting.RevokeAgent | granting.RevokeAll
LeaseCommand = leasing.OpenLease | leasing.Renew | leasing.Release | leasing.RevokeLease
EpochCommand = keying.OpenEpoch | keying.Rewrap | keying.RetireEpoch | keying.SetKeyPolicy
SlotCommand = unlocking.SlotCommand
RotationCommand = rotating.RotationCommand
Command = (
    Create
    | SecretCommand
    | RotationCommand
    | ReadCommand
    | AgentCommand
    | GrantCommand
    | LeaseCommand
    | EpochCommand
    | SlotCommand
)


@attrs.frozen(kw_only=True)
class Request:
    """A command with who asks, when (microseconds since the epoch, UTC), and the id that makes it one of a kind."""

    at: int
    command: Command
    id: RequestId
    principal: Principal


@attrs.frozen
class Transition:
    """What an applied command makes of the state, and what it asks of an interpreter."""

    state: VaultState
    effects: tuple[Effect, ...] = ()


Applied = Result[Transition, Refusal]


def apply(state: VaultState, request: Request) -> Applied:
    """Decide ``request``. Refusals: ``not-permitted``, ``no-vault``, ``vault-exists``, and each capability's own."""
    command, principal, at = request.command, request.principal, request.at
    if not may_ask(principal, command.type):
        return Failure(NOT_PERMITTED)
    if isinstance(command, Create):
        return _create(state, at, command)
    if not state.vault:
        return Failure(NO_VAULT)
    match command:
        case (
            keeping.Put()
            | keeping.Describe()
            | keeping.Rollback()
            | removal.Destroy()
            | removal.Delete()
            | removal.Undelete()
            | removal.Erase()
        ):
            return _secret(state, at, principal, command)
        case (
            rotating.SetRotation()
            | rotating.ClearRotation()
            | rotating.StartRotation()
            | rotating.CreatePending()
            | rotating.MarkSet()
            | rotating.MarkTested()
            | rotating.FinishRotation()
            | rotating.FailRotation()
            | rotating.AbortRotation()
            | rotating.MarkAborted()
        ):
            return _rotation(state, at, principal, command)
        case reading.RevealValue() | reading.MaskValue():
            return reading.read(state.secrets, command).map(lambda effects: Transition(state, effects))
        case reading.ListEntries():
            return reading.listing(state.secrets, command).map(lambda effects: Transition(state, effects))
        case agency.Enroll() | agency.Suspend() | agency.Resume() | agency.Remove():
            return _agent(state, at, command)
        case granting.IssueGrant() | granting.Revoke() | granting.RevokeAgent() | granting.RevokeAll():
            return _grant(state, at, command)
        case leasing.OpenLease() | leasing.Renew() | leasing.Release() | leasing.RevokeLease():
            return _lease(state, at, principal, command)
        case keying.OpenEpoch() | keying.Rewrap() | keying.RetireEpoch() | keying.SetKeyPolicy():
            return _epoch(state, at, command)
        case unlocking.AddSlot() | unlocking.RemoveSlot() | unlocking.ChangeSlot() | unlocking.Rekey():
            return unlocking.change(state.slots, at, command).map(
                lambda changed: Transition(attrs.evolve(state, slots=changed[0], header=command.header), changed[1])
            )
        case _:
            assert_never(command)


def _epoch(state: VaultState, at: int, command: EpochCommand) -> Applied:
    epochs = state.epochs
    match command:
        case keying.SetKeyPolicy():
            return Success(Transition(attrs.evolve(state, epoch_age=command.age)))
        case keying.OpenEpoch():
            changed, header = keying.open_epoch(epochs, at, command), command.header
        case keying.Rewrap():
            changed, header = keying.rewrap(epochs, state.rewrapped, state.secrets, command), state.header
        case keying.RetireEpoch():
            changed, header = keying.retire_epoch(epochs, command), command.header
    return changed.map(
        lambda made: Transition(attrs.evolve(state, epochs=made[0], rewrapped=made[1], header=header), made[2])
    )


def _create(state: VaultState, at: int, command: Create) -> Applied:
    if state.vault:
        return Failure(VAULT_EXISTS)
    epochs = (keying.Epoch(number=1, created_at=at, live=0, wraps=0),)
    slots = unlocking.Slots((unlocking.SlotRecord(created_at=at, id=command.slot, kind=command.kind),))
    return Success(
        Transition(attrs.evolve(state, vault=command.vault, header=command.header, epochs=epochs, slots=slots))
    )


def _kept(state: VaultState, changed: tuple[keeping.Secrets, tuple[Effect, ...]]) -> Transition:
    """With other secrets, and the epochs' counts of what is wrapped under them kept true."""
    epochs = keying.released(state.epochs, _erased_epochs(state, changed[1]))
    if any(isinstance(effect, KeepRecord) for effect in changed[1]):
        epochs = keying.wrapped(epochs)
    return Transition(attrs.evolve(state, secrets=changed[0], epochs=epochs), changed[1])


def _rotation(state: VaultState, at: int, principal: Principal, command: RotationCommand) -> Applied:
    if not isinstance(principal, Operator):
        return Failure(NOT_PERMITTED)
    if isinstance(command, rotating.CreatePending) and command.epoch != state.epoch():
        return Failure(keeping.STALE_EPOCH)
    return rotating.change(state.secrets, at, principal.name, command).map(lambda changed: _kept(state, changed))


def _secret(state: VaultState, at: int, principal: Principal, command: SecretCommand) -> Applied:
    def kept(changed: tuple[keeping.Secrets, tuple[Effect, ...]]) -> Transition:
        return _kept(state, changed)

    secrets = state.secrets
    match command:
        case keeping.Put():
            return _put(state, at, principal, command)
        case keeping.Describe():
            return keeping.describe(secrets, command).map(kept)
        case keeping.Rollback():
            return keeping.rollback(secrets, at, command).map(kept)
        case removal.Destroy():
            return removal.destroy(secrets, at, command).map(kept)
        case removal.Delete():
            return removal.delete(secrets, at, command).map(kept)
        case removal.Undelete():
            return removal.undelete(secrets, command).map(kept)
        case removal.Erase():
            return removal.erase(secrets, command).map(kept)
        case _:
            assert_never(command)


def _erased_epochs(state: VaultState, effects: tuple[Effect, ...]) -> tuple[int, ...]:
    versions = (
        (effect.secret, state.secrets.by_id[effect.secret].versions[effect.version - 1])
        for effect in effects
        if isinstance(effect, EraseRecord)
    )
    return tuple(keying.wrapped_under(state.epochs, state.rewrapped, secret, version) for secret, version in versions)


def _put(state: VaultState, at: int, principal: Principal, command: keeping.Put) -> Applied:
    if not isinstance(principal, Operator):
        return Failure(NOT_PERMITTED)
    if command.epoch != state.epoch():
        return Failure(keeping.STALE_EPOCH)
    return keeping.put(state.secrets, at, principal.name, command).map(lambda changed: _kept(state, changed))


def _agent(state: VaultState, at: int, command: AgentCommand) -> Applied:
    def kept(agents: agency.Agents) -> Transition:
        return Transition(attrs.evolve(state, agents=agents))

    agents = state.agents
    match command:
        case agency.Enroll():
            return agency.enroll(agents, at, command).map(kept)
        case agency.Suspend():
            leases = state.leases.without_agent(command.agent)
            return agency.suspend(agents, at, command).map(
                lambda changed: Transition(attrs.evolve(state, agents=changed, leases=leases))
            )
        case agency.Resume():
            return agency.resume(agents, command).map(kept)
        case agency.Remove():
            leases = state.leases.without_agent(command.agent)
            grants = granting.revoke_agent(state.grants, command.agent)
            return agency.remove(agents, command).map(
                lambda changed: Transition(attrs.evolve(state, agents=changed, grants=grants, leases=leases))
            )
        case _:
            assert_never(command)


def _grant(state: VaultState, at: int, command: GrantCommand) -> Applied:
    match command:
        case granting.IssueGrant():
            agents = state.agents.known(command.agent, at)
            return granting.issue(state.grants, at, command).map(
                lambda grants: Transition(attrs.evolve(state, agents=agents, grants=grants))
            )
        case granting.Revoke():
            return granting.revoke(state.grants, command).map(
                lambda grants: Transition(attrs.evolve(state, grants=grants))
            )
        case granting.RevokeAgent():
            if command.agent not in state.agents.by_id:
                return Failure(agency.UNKNOWN_AGENT)
            grants = granting.revoke_agent(state.grants, command.agent)
            leases = state.leases.without_agent(command.agent)
            return Success(Transition(attrs.evolve(state, grants=grants, leases=leases)))
        case granting.RevokeAll():
            nothing = attrs.evolve(state, grants=granting.Grants(), leases=leasing.Leases())
            return Success(Transition(nothing))
        case _:
            assert_never(command)


def _lease(state: VaultState, at: int, principal: Principal, command: LeaseCommand) -> Applied:
    def kept(leases: leasing.Leases) -> Transition:
        return Transition(attrs.evolve(state, leases=leases))

    if isinstance(command, leasing.RevokeLease):
        return leasing.revoke_lease(state.leases, command).map(kept)
    if not isinstance(principal, Agent):
        return Failure(NOT_PERMITTED)
    access = state.access()
    match command:
        case leasing.OpenLease():
            return leasing.open_lease(access, at, principal, command).map(
                lambda opened: Transition(attrs.evolve(state, grants=opened[0], leases=opened[1]), opened[2])
            )
        case leasing.Renew():
            return leasing.renew(access, at, principal, command).map(kept)
        case leasing.Release():
            return leasing.release(access, principal, command).map(kept)
        case _:
            assert_never(command)
