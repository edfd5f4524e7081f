"""Root key, slots and epochs: how one key unlocks all the others.

    passphrase --Argon2id--> slot key --unwraps--> root key
    root key --HKDF-SHA256 (RFC 5869), one label each--> wrapping, MAC and sealing keys
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
from ironsecrets.identifiers import Micros, Ordinal, Size, SlotId, VaultId
from ironsecrets.refusals import Tampered
from ironsecrets.sealing import KEY_BYTES, SUITE, Buffer, gcm_open, gcm_seal, seal, unseal
from ironsecrets.sensitive import REDACTED, wipe

LABELS = (
    "epoch-wrapping",
    "log-mac",
    "signing-key-wrapping",
    "header-mac",
    "entries",
    "snapshots",
    "requests",
)


@attrs.frozen(kw_only=True)
class Epoch:
    """One generation of the key-encryption key, as the state knows it. ``wraps`` counts the DEKs wrapped."""

    created_at: Micros
    number: Ordinal
    wraps: Size


@attrs.frozen
class WrongKey:
    """The slot key is not the one this slot commits to."""


def hkdf(key: Buffer, salt: bytes, info: bytes, length: int = KEY_BYTES) -> bytearray:
    """HKDF-SHA256 (RFC 5869) into a buffer that can be wiped."""
    out = bytearray(length)
    HKDF(hashes.SHA256(), length, salt, info).derive_into(key, out)
    return out


class Keys:
    """The keys of an unlocked vault. Holds no root key; shows nothing; wiped on close."""

    __slots__ = ("_by_label", "_epochs")

    def __init__(self, by_label: dict[str, bytearray], epochs: dict[int, bytearray]) -> None:
        self._by_label = by_label
        self._epochs = epochs

    def __getitem__(self, label: str) -> bytearray:
        return self._by_label[label]

    def epoch(self, number: int) -> bytearray | None:
        """The epoch's key, or None where there is no such epoch."""
        return self._epochs.get(number)

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


def wrap_epoch(root_key: Buffer, vault: VaultId, *, number: int, key: Buffer, at: int, salt: bytes) -> WrappedEpoch:
    """Wrap an epoch's key under the root key."""
    wrapping = _label_key(root_key, vault, "epoch-wrapping")
    sealed = seal(wrapping, _epoch_context(vault, number), salt, key)
    wipe(wrapping)
    return WrappedEpoch(created_at=at, number=number, wrapped=field(sealed))


def wrap_signing_key(root_key: Buffer, vault: VaultId, *, key: Buffer, salt: bytes) -> str:
    """Wrap the audit log's Ed25519 private key (32 bytes) under the root key."""
    wrapping = _label_key(root_key, vault, "signing-key-wrapping")
    sealed = seal(wrapping, signing_context(vault), salt, key)
    wipe(wrapping)
    return field(sealed)


def signing_context(vault: VaultId) -> bytes:
    """Associated data of the wrapped signing key."""
    return length_prefixed("ironsecrets/v1/signing-key", SUITE, vault)


def derive_keys(root_key: Buffer, header: Header) -> Result[Keys, Tampered]:
    """Every key of the vault, from its root key and its header."""
    vault = header.vault
    by_label = {label: _label_key(root_key, vault, label) for label in LABELS}
    epochs: dict[int, bytearray] = {}
    for epoch in header.epochs:
        context = _epoch_context(vault, epoch.number)
        what = f"wrapped key of epoch {epoch.number}"
        match unseal(by_label["epoch-wrapping"], context, raw_bytes(epoch.wrapped), what):
            case Success(key):
                epochs[epoch.number] = key
            case Failure(tampered):
                return Failure(tampered)
            case _:
                raise AssertionError
    return Success(Keys(by_label, epochs))
