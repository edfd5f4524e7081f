"""Changing who can unlock: add, remove and change slots, and replace the root key.

Adding needs a credential that unlocks already: the root key is kept nowhere while a vault is open. Secrets are not
touched. A removed slot's wrapped root key is erased from the file; whoever kept an older copy of the file and the
old passphrase can still open that copy, which is what ``rekey`` is for.
"""

from collections.abc import Callable, Sequence

import attrs
from returns.result import Failure, Result, Success

from interpreters.conversions import accepted
from interpreters.derivation import Credential
from interpreters.engine import Engine
from interpreters.genesis import new_slot, unlock_root
from interpreters.outcome import NewHeader, Outcome, Prepared, new_header
from interpreters.unsealed import found
from ironsecrets.errors import CannotUnlock, Refused
from ironsecrets.header import Argon2Cost, Header, Slot, header_digest
from ironsecrets.identifiers import SlotId
from ironsecrets.keyring import derive_keys, root_keys, unwrap_epoch, unwrap_key, wrap_epoch, wrap_key
from ironsecrets.principals import Operator
from ironsecrets.refusals import Refusal
from ironsecrets.sealing import KEY_BYTES, SALT_BYTES
from ironsecrets.sensitive import wipe
from ironsecrets.slots import UNKNOWN_SLOT, AddSlot, ChangeSlot, Rekey, RemoveSlot, SlotCommand
from ironsecrets.state import VaultState

CHANGED = Refusal("header-changed", "another process changed the slots or epochs meanwhile; try again")

Build = Callable[[Header], tuple[Header, Callable[[NewHeader], SlotCommand]]]


def _changed(engine: Engine, operator: Operator, build: Build) -> Outcome:
    def prepare(state: VaultState, at: int) -> Result[Prepared, Refusal]:
        header, command = build(engine.header)
        new = new_header(engine.keys["header-mac"], header)
        return Success(Prepared(command=command(new), header=new))

    return accepted(engine.perform(operator, prepare))


def _made(engine: Engine, unlock: Credential, new: Credential, cost: Argon2Cost | None) -> tuple[Slot, Slot]:
    """The slot that ``unlock`` opens, and one more for the same root key."""
    old, root = unlock_root(engine.header, unlock)
    slot = new_slot(new, engine.header.vault, root, at=engine.now(), entropy=engine.entropy, cost=cost)
    wipe(root)
    return old, slot


def add_slot(
    engine: Engine,
    operator: Operator,
    *,
    unlock: Credential,
    new: Credential,
    cost: Argon2Cost | None = None,
) -> SlotId:
    """One more way to unlock the vault; the new slot's id."""
    _, slot = _made(engine, unlock, new, cost)
    _changed(
        engine,
        operator,
        lambda header: (
            attrs.evolve(header, slots=(*header.slots, slot)),
            lambda made: AddSlot(header=header_digest(made.raw), kind=slot.kind, slot=slot.id),
        ),
    )
    return slot.id


def remove_slot(engine: Engine, operator: Operator, slot: SlotId) -> bool:
    """One way less; False where its bytes may linger until a reader has finished."""
    outcome = _changed(
        engine,
        operator,
        lambda header: (
            attrs.evolve(header, slots=_without(header, slot)),
            lambda made: RemoveSlot(header=header_digest(made.raw), slot=slot),
        ),
    )
    return outcome.erased is not False


def _without(header: Header, slot: SlotId) -> tuple[Slot, ...]:
    # A last slot stays in the header that is never stored: the core refuses the command.
    return tuple(one for one in header.slots if one.id != slot) or header.slots


def change_slot(
    engine: Engine,
    operator: Operator,
    *,
    unlock: Credential,
    new: Credential,
    cost: Argon2Cost | None = None,
) -> SlotId:
    """Replace the slot that ``unlock`` opens by one for ``new``; the new slot's id."""
    old, slot = _made(engine, unlock, new, cost)
    _changed(
        engine,
        operator,
        lambda header: (
            attrs.evolve(header, slots=tuple(slot if one.id == old.id else one for one in header.slots)),
            lambda made: ChangeSlot(header=header_digest(made.raw), kind=slot.kind, replacement=slot.id, slot=old.id),
        ),
    )
    return slot.id


def rekey(engine: Engine, operator: Operator, *, credentials: Sequence[Credential], drop: Sequence[SlotId] = ()) -> int:
    """A new root key; its generation.

    Every slot's key is needed to wrap the new root key, so ``credentials`` holds one for each slot that stays;
    the others must be named in ``drop``. Epochs and the log key are wrapped anew; secrets and log stay as they are.
    """
    header = engine.header
    unknown = [slot for slot in drop if all(one.id != slot for one in header.slots)]
    if unknown:
        raise Refused(UNKNOWN_SLOT, unknown[0])
    kept: dict[SlotId, Credential] = {}
    root = bytearray()
    for credential in credentials:
        slot, opened = unlock_root(header, credential)
        wipe(root)
        root = opened
        kept[slot.id] = credential
    missing = [slot for slot in header.slots if slot.id not in kept and slot.id not in drop]
    if missing or not kept:
        raise CannotUnlock(
            f"slot {missing[0].id} ({missing[0].kind}) needs its credential too, or drop it"
            if missing
            else "rekey needs the credential of a slot that stays"
        )
    new_root = bytearray(engine.entropy.draw(KEY_BYTES))
    rekeyed = _rewrapped(engine, header, root, new_root, kept)
    wrapping = root_keys(new_root, header.vault)
    new = new_header(wrapping["header-mac"], rekeyed)
    command = Rekey(
        generation=rekeyed.root_generation,
        header=header_digest(new.raw),
        slots=tuple(slot.id for slot in rekeyed.slots),
    )
    keys = found(derive_keys(new_root, rekeyed))

    def prepare(state: VaultState, at: int) -> Result[Prepared, Refusal]:
        # Looked at again after each conflict: a header made from an older one would drop what others added.
        return Success(Prepared(command=command, header=new)) if engine.header == header else Failure(CHANGED)

    with engine.lock:
        accepted(engine.perform(operator, prepare))
        engine.keys.wipe()
        engine.keys = keys
    for buffer in (root, new_root, *wrapping.values()):
        wipe(buffer)
    return rekeyed.root_generation


def _rewrapped(
    engine: Engine, header: Header, root: bytearray, new_root: bytearray, kept: dict[SlotId, Credential]
) -> Header:
    old, new = root_keys(root, header.vault), root_keys(new_root, header.vault)
    vault, draw = header.vault, engine.entropy.draw

    def again(name: str, wrapped: str) -> str:
        key = found(unwrap_key(old[f"{name}-wrapping"], vault, name, wrapped))
        made = wrap_key(new[f"{name}-wrapping"], vault, name, key=key, salt=draw(SALT_BYTES))
        wipe(key)
        return made

    epochs = tuple(
        wrap_epoch(
            new["epoch-wrapping"],
            vault,
            number=epoch.number,
            key=found(unwrap_epoch(old["epoch-wrapping"], vault, epoch)),
            at=epoch.created_at,
            salt=draw(SALT_BYTES),
        )
        for epoch in header.epochs
    )
    slots = tuple(_same_slot(slot, engine, new_root, kept[slot.id]) for slot in header.slots if slot.id in kept)
    made = attrs.evolve(
        header,
        epochs=epochs,
        log_key=again("log-key", header.log_key),
        root_generation=header.root_generation + 1,
        signing_key=again("signing-key", header.signing_key),
        slots=slots,
    )
    for buffer in (*old.values(), *new.values()):
        wipe(buffer)
    return made


def _same_slot(slot: Slot, engine: Engine, root: bytearray, credential: Credential) -> Slot:
    return new_slot(credential, engine.header.vault, root, at=slot.created_at, entropy=engine.entropy, slot_id=slot.id)
