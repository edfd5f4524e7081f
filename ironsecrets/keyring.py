"""Root key, slots and epochs: how one key unlocks all the others.

    passphrase --Argon2id--> slot key --unwraps--> root key
    root key --HKDF-SHA256 (RFC 5869), one label each--> wrapping keys, header-MAC key
    log key (random, wrapped) --HKDF-SHA256, one label each--> log-MAC, entry, snapshot and request keys
    epoch key (random, wrapped) --committing seal--> DEK

A slot holds a commitment to its key, compared in constant time before anything is decrypted: AES-GCM does not
commit to its key, so without it one crafted blob could be tried against many passphrases at once.
"""

import hmac

import attrs
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from returns.result import Failure, Result, Success

from ironsecrets.encoding import canonical, length_prefixed
from ironsecrets.header import Argon2Cost, Header, Slot, SlotKind, WrappedEpoch, field, raw_bytes
from ironsecrets.identifiers import SlotId, VaultId
from ironsecrets.refusals import Tampered
from ironsecrets.sealing import KEY_BYTES, SUITE, Buffer, gcm_open, gcm_seal, seal, unseal
from ironsecrets.sensitive import REDACTED, wipe

ROOT_LABELS = ("epoch-wrapping", "log-key-wrapping", "signing-key-wrapping", "header-mac")
LOG_LABELS = ("log-mac", "entries", "snapshots", "requests")
LABELS = ROOT_LABELS + LOG_LABELS


@attrs.frozen
class WrongKey:
    """The slot key is not the one this slot commits to."""


def hkdf(key: Buffer, salt: bytes, info: bytes, length: int = KEY_BYTES) -> bytearray:
    """HKDF-SHA256 (RFC 5869) into a buffer that can be wiped."""
    out = bytearray(length)
    HKDF(hashes.SHA256(), length, salt, info).derive_into(key, out)
    return out


class Keys:
    """The keys of an unlocked vault. Holds no root key; shows nothing; wiped on close.

    ``generation`` is that of the root key they were derived from.
    """

    __slots__ = ("_by_label", "_epochs", "generation")

    def __init__(self, by_label: dict[str, bytearray], epochs: dict[int, bytearray], generation: int = 1) -> None:
        self._by_label = by_label
        self._epochs = epochs
        self.generation = generation

    def __getitem__(self, label: str) -> bytearray:
        return self._by_label[label]

    def epoch(self, number: int) -> bytearray | None:
        """The epoch's key, or None where there is no such epoch."""
        return self._epochs.get(number)

    def twin(self) -> "Keys":
        """The same keys in buffers of their own, for whoever must not depend on what happens to these."""
        by_label = {label: bytearray(key) for label, key in self._by_label.items()}
        epochs = {number: bytearray(key) for number, key in self._epochs.items()}
        return Keys(by_label, epochs, self.generation)

    def follow(self, header: Header) -> "Result[None, Tampered]":
        """Take in the epochs of a newer header, and wipe the keys of those that it no longer has."""
        numbers = {epoch.number for epoch in header.epochs}
        for retired in self._epochs.keys() - numbers:
            wipe(self._epochs.pop(retired))
        for epoch in header.epochs:
            if epoch.number not in self._epochs:
                match unwrap_epoch(self["epoch-wrapping"], header.vault, epoch):
                    case Success(key):
                        self._epochs[epoch.number] = key
                    case Failure(tampered):
                        return Failure(tampered)
                    case _:
                        raise AssertionError
        return Success(None)

    def wipe(self) -> None:
        """Overwrite every key with zeros."""
        for key in (*self._by_label.values(), *self._epochs.values()):
            wipe(key)

    def __repr__(self) -> str:
        return f"Keys({REDACTED})"

    def __reduce_ex__(self, protocol: object) -> str:
        raise TypeError("keys are neither pickled nor copied")


def _slot_material(slot_key: Buffer, vault: VaultId, slot: SlotId, kind: str, cost: Argon2Cost | None) -> bytearray:
    info = length_prefixed("ironsecrets/v1/slot", SUITE, slot, kind, canonical(cost))
    return hkdf(slot_key, vault.encode(), info, 64)


def _slot_context(vault: VaultId, slot: SlotId) -> bytes:
    return length_prefixed("ironsecrets/v1/root-key", SUITE, vault, slot)


def make_slot(
    *,
    vault: VaultId,
    slot: SlotId,
    kind: SlotKind,
    cost: Argon2Cost | None,
    at: int,
    slot_key: Buffer,
    root_key: Buffer,
    nonce: bytes,
) -> Slot:
    """Wrap ``root_key`` so that ``slot_key`` (32 bytes) unlocks it."""
    material = _slot_material(slot_key, vault, slot, kind, cost)
    wrapped = gcm_seal(memoryview(material)[:32], nonce, root_key, _slot_context(vault, slot))
    made = Slot(
        commitment=field(material[32:]),
        cost=cost,
        created_at=at,
        id=slot,
        kind=kind,
        nonce=field(nonce),
        wrapped=field(wrapped),
    )
    wipe(material)
    return made


def unlock_slot(slot: Slot, vault: VaultId, slot_key: Buffer) -> Result[bytearray, WrongKey | Tampered]:
    """The root key. ``WrongKey`` where the commitment differs, ``Tampered`` where only the wrap does."""
    material = _slot_material(slot_key, vault, slot.id, slot.kind, slot.cost)
    try:
        if not hmac.compare_digest(material[32:], raw_bytes(slot.commitment)):
            return Failure(WrongKey())
        nonce = raw_bytes(slot.nonce)
        if len(nonce) != 12:
            return Failure(Tampered(f"slot {slot.id}"))
        root = gcm_open(material[:32], nonce, raw_bytes(slot.wrapped), _slot_context(vault, slot.id))
        return Failure(Tampered(f"slot {slot.id}")) if root is None else Success(root)
    finally:
        wipe(material)


def _label_key(root_key: Buffer, vault: VaultId, label: str) -> bytearray:
    return hkdf(root_key, vault.encode(), length_prefixed(f"ironsecrets/v1/{label}", SUITE))


def _epoch_context(vault: VaultId, number: int) -> bytes:
    return length_prefixed("ironsecrets/v1/epoch-key", SUITE, vault, number)


def wrap_epoch(wrapping_key: Buffer, vault: VaultId, *, number: int, key: Buffer, at: int, salt: bytes) -> WrappedEpoch:
    """Wrap an epoch's key under the key of the label ``epoch-wrapping``."""
    sealed = seal(wrapping_key, _epoch_context(vault, number), salt, key)
    return WrappedEpoch(created_at=at, number=number, wrapped=field(sealed))


def unwrap_epoch(wrapping_key: Buffer, vault: VaultId, epoch: WrappedEpoch) -> Result[bytearray, Tampered]:
    """The inverse of :func:`wrap_epoch`."""
    what = f"wrapped key of epoch {epoch.number}"
    return unseal(wrapping_key, _epoch_context(vault, epoch.number), raw_bytes(epoch.wrapped), what)


def wrap_key(wrapping_key: Buffer, vault: VaultId, name: str, *, key: Buffer, salt: bytes) -> str:
    """Wrap the vault's ``signing-key`` (Ed25519, 32 bytes) or ``log-key`` (32 bytes)."""
    return field(seal(wrapping_key, _key_context(vault, name), salt, key))


def unwrap_key(wrapping_key: Buffer, vault: VaultId, name: str, wrapped: str) -> Result[bytearray, Tampered]:
    """The inverse of :func:`wrap_key`."""
    return unseal(wrapping_key, _key_context(vault, name), raw_bytes(wrapped), f"wrapped {name}")


def _key_context(vault: VaultId, name: str) -> bytes:
    return length_prefixed(f"ironsecrets/v1/{name}", SUITE, vault)


def root_keys(root_key: Buffer, vault: VaultId) -> dict[str, bytearray]:
    """The keys derived from the root key, by label."""
    return {label: _label_key(root_key, vault, label) for label in ROOT_LABELS}


def derive_keys(root_key: Buffer, header: Header) -> Result[Keys, Tampered]:
    """Every key of the vault, from its root key and its header."""
    vault = header.vault
    by_label = root_keys(root_key, vault)

    def opened(log_key: bytearray) -> Result[Keys, Tampered]:
        by_label.update({label: _label_key(log_key, vault, label) for label in LOG_LABELS})
        wipe(log_key)
        keys = Keys(by_label, {}, header.root_generation)
        return keys.follow(header).map(lambda _: keys)

    return unwrap_key(by_label["log-key-wrapping"], vault, "log-key", header.log_key).bind(opened)
