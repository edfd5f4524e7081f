"""The state machine: every command, and ``apply``, which dispatches and decides nothing itself.

``apply`` is total: for anything that a caller can send it returns ``Success(Transition)`` or
``Failure(Refusal)``. It reads no clock, no disk and no random source: all it needs is in the request.
"""

from typing import Literal, assert_never

import attrs
from returns.result import Failure, Success

from ironsecrets import access, reading, removal, retention
from ironsecrets import epochs as keying
from ironsecrets import rotation as rotating
from ironsecrets import secrets as keeping
from ironsecrets import slots as unlocking
from ironsecrets.effects import Effect, EraseRecord, KeepRecord
from ironsecrets.frozen import evolve
from ironsecrets.header import SlotKind
from ironsecrets.identifiers import DigestField, RequestId, SlotIdField, VaultIdField
from ironsecrets.kill_switch import VAULT_SEALED
from ironsecrets.principals import NOT_PERMITTED, Agent, Operator, Principal, may_ask
from ironsecrets.refusals import Refusal
from ironsecrets.state import Applied, Transition, VaultState

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
EpochCommand = keying.OpenEpoch | keying.Rewrap | keying.RetireEpoch | keying.SetKeyPolicy
SlotCommand = unlocking.SlotCommand
RotationCommand = rotating.RotationCommand
Command = (
    Create
    | SecretCommand
    | RotationCommand
    | ReadCommand
    | access.AccessCommand
    | EpochCommand
    | SlotCommand
    | retention.Archive
    | retention.Restore
)


@attrs.frozen(kw_only=True)
class Request:
    """A command with who asks, when (microseconds since the epoch, UTC), and the id that makes it one of a kind."""

    at: int
    command: Command
    id: RequestId
    principal: Principal


def apply(state: VaultState, request: Request) -> Applied:
    """Decide ``request``. Refusals: ``vault-sealed`` for agents, ``not-permitted``, ``no-vault``, ``vault-exists``, and
    each capability's own."""
    command, principal, at = request.command, request.principal, request.at
    if state.sealed is not None and isinstance(principal, Agent):
        return Failure(VAULT_SEALED)
    if not may_ask(principal, command.type):
        return Failure(NOT_PERMITTED)
    if isinstance(command, Create):
        return _create(state, at, command)
    if not state.vault:
        return Failure(NO_VAULT)
    if isinstance(command, access.AccessCommand):
        return access.change(state, at, principal, command)
    if isinstance(command, ReadCommand):
        return reading.looked(state.secrets, command).map(lambda effects: Transition(state, effects))
    if isinstance(command, retention.Restore):
        return Success(Transition(state))
    if isinstance(command, retention.Archive):
        return retention.archive(state.oversight.segments, command).map(
            lambda segments: Transition(evolve(state, oversight=evolve(state.oversight, segments=segments)))
        )
    if isinstance(command, EpochCommand):
        return _epoch(state, at, command)
    if isinstance(command, SlotCommand):
        return unlocking.change(state.slots, at, command).map(
            lambda changed: Transition(evolve(state, slots=changed[0], header=command.header), changed[1])
        )
    if not isinstance(principal, Operator):
        return Failure(NOT_PERMITTED)
    if isinstance(command, RotationCommand):
        return _rotation(state, at, principal, command)
    return _secret(state, at, principal, command)


def _epoch(state: VaultState, at: int, command: EpochCommand) -> Applied:
    epochs = state.epochs
    match command:
        case keying.SetKeyPolicy():
            return Success(Transition(evolve(state, epoch_age=command.age)))
        case keying.OpenEpoch():
            changed, header = keying.open_epoch(epochs, at, command), command.header
        case keying.Rewrap():
            changed, header = keying.rewrap(epochs, state.rewrapped, state.secrets, command), state.header
        case keying.RetireEpoch():
            changed, header = keying.retire_epoch(epochs, command), command.header
    return changed.map(
        lambda made: Transition(evolve(state, epochs=made[0], rewrapped=made[1], header=header), made[2])
    )


def _create(state: VaultState, at: int, command: Create) -> Applied:
    if state.vault:
        return Failure(VAULT_EXISTS)
    epochs = (keying.Epoch(number=1, created_at=at, live=0, wraps=0),)
    slots = unlocking.Slots((unlocking.SlotRecord(created_at=at, id=command.slot, kind=command.kind),))
    return Success(Transition(evolve(state, vault=command.vault, header=command.header, epochs=epochs, slots=slots)))


def _kept(state: VaultState, changed: tuple[keeping.Secrets, tuple[Effect, ...]]) -> Transition:
    """With other secrets, and the epochs' counts of what is wrapped under them kept true."""
    epochs = keying.released(state.epochs, _erased_epochs(state, changed[1]))
    if any(isinstance(effect, KeepRecord) for effect in changed[1]):
        epochs = keying.wrapped(epochs)
    return Transition(evolve(state, secrets=changed[0], epochs=epochs), changed[1])


def _rotation(state: VaultState, at: int, principal: Operator, command: RotationCommand) -> Applied:
    if isinstance(command, rotating.CreatePending) and command.epoch != state.epoch():
        return Failure(keeping.STALE_EPOCH)
    return rotating.change(state.secrets, at, principal.name, command).map(lambda changed: _kept(state, changed))


def _secret(state: VaultState, at: int, principal: Operator, command: SecretCommand) -> Applied:
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


def _put(state: VaultState, at: int, principal: Operator, command: keeping.Put) -> Applied:
    if command.epoch != state.epoch():
        return Failure(keeping.STALE_EPOCH)
    return keeping.put(state.secrets, at, principal.name, command).map(lambda changed: _kept(state, changed))
