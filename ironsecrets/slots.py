"""Slots: the ways to unlock the root key, as LUKS has them, and the root key's generations.

The header holds the slots' bytes; the state knows which there are, so that each change is a decision in the log
and an older header, put back, is found.
"""

from typing import Annotated, Literal

import attrs
import msgspec
from returns.result import Failure, Result, Success

from ironsecrets.effects import Effect, WriteHeader
from ironsecrets.frozen import evolve
from ironsecrets.header import SLOT_LIMIT, SlotKind
from ironsecrets.identifiers import DigestField, Micros, Ordinal, SlotIdField
from ironsecrets.refusals import Refusal

SLOT_TAKEN = Refusal("slot-taken", "that slot id is already in use")
UNKNOWN_SLOT = Refusal("unknown-slot", "there is no such slot")
LAST_SLOT = Refusal("last-slot", "that is the last slot; without it nobody could open the vault")
TOO_MANY_SLOTS = Refusal("too-many-slots", "a vault has at most 16 slots; remove one first")
STALE_GENERATION = Refusal("stale-generation", "the new root key does not follow the current one")


@attrs.frozen(kw_only=True)
class SlotRecord:
    """A slot, as the state knows it."""

    created_at: Micros
    id: SlotIdField
    kind: SlotKind


@attrs.frozen
class Slots:
    """The slots there are, and the generation of the root key they unlock."""

    all: tuple[SlotRecord, ...] = ()
    generation: int = 1

    def find(self, slot: str) -> SlotRecord | None:
        """The slot of this id."""
        return next((one for one in self.all if one.id == slot), None)


@attrs.frozen(kw_only=True)
class AddSlot:
    """One more way to unlock the vault; ``header`` is the digest of the header that holds it."""

    header: DigestField
    kind: SlotKind
    slot: SlotIdField
    type: Literal["add-slot"] = "add-slot"


@attrs.frozen(kw_only=True)
class RemoveSlot:
    """One way less. The last slot cannot be removed."""

    header: DigestField
    slot: SlotIdField
    type: Literal["remove-slot"] = "remove-slot"


@attrs.frozen(kw_only=True)
class ChangeSlot:
    """Put ``replacement`` in the place of ``slot``: another passphrase, or another cost."""

    header: DigestField
    kind: SlotKind
    replacement: SlotIdField
    slot: SlotIdField
    type: Literal["change-slot"] = "change-slot"


@attrs.frozen(kw_only=True)
class Rekey:
    """A new root key. ``slots`` are those that unlock it; every other slot ends."""

    generation: Ordinal
    header: DigestField
    slots: Annotated[tuple[SlotIdField, ...], msgspec.Meta(min_length=1, max_length=SLOT_LIMIT)]
    type: Literal["rekey"] = "rekey"


SlotCommand = AddSlot | RemoveSlot | ChangeSlot | Rekey
Changed = Result[tuple[Slots, tuple[Effect, ...]], Refusal]


def change(slots: Slots, at: int, command: SlotCommand) -> Changed:
    """Refusals: ``slot-taken``, ``unknown-slot``, ``last-slot``, ``too-many-slots``, ``stale-generation``."""
    match command:
        case AddSlot():
            if slots.find(command.slot) is not None:
                return Failure(SLOT_TAKEN)
            if len(slots.all) >= SLOT_LIMIT:
                return Failure(TOO_MANY_SLOTS)
            added = SlotRecord(created_at=at, id=command.slot, kind=command.kind)
            changed = evolve(slots, all=(*slots.all, added))
        case RemoveSlot():
            if slots.find(command.slot) is None:
                return Failure(UNKNOWN_SLOT)
            if len(slots.all) == 1:
                return Failure(LAST_SLOT)
            changed = evolve(slots, all=tuple(one for one in slots.all if one.id != command.slot))
        case ChangeSlot():
            if slots.find(command.slot) is None:
                return Failure(UNKNOWN_SLOT)
            if slots.find(command.replacement) is not None:
                return Failure(SLOT_TAKEN)
            made = SlotRecord(created_at=at, id=command.replacement, kind=command.kind)
            changed = evolve(slots, all=tuple(made if one.id == command.slot else one for one in slots.all))
        case Rekey():
            if command.generation != slots.generation + 1:
                return Failure(STALE_GENERATION)
            if any(slots.find(slot) is None for slot in command.slots):
                return Failure(UNKNOWN_SLOT)
            kept = tuple(one for one in slots.all if one.id in command.slots)
            changed = Slots(kept, command.generation)
    return Success((changed, (WriteHeader(command.header),)))
