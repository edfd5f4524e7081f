"""The vault's header: what is readable before unlocking, canonical, bounded, and MACed under the root key.

It holds the format, the suite, the vault id, the slots, the wrapped epoch keys, the audit public key with its
wrapped private key, and the root key's generation. Everything in it is chosen by whoever wrote the file until
its MAC is checked, so its size and every cost in it are bounded while decoding, before anything is allocated.
"""

import hashlib
import hmac
from typing import Annotated, Literal

import attrs
import msgspec
from returns.result import Failure, Result, Success

from ironsecrets.encoding import canonical, decode_canonical, from_base64, length_prefixed, to_base64
from ironsecrets.identifiers import Digest, Micros, Ordinal, SlotIdField, VaultIdField
from ironsecrets.refusals import Tampered
from ironsecrets.sealing import SUITE

FORMAT = 1
HEADER_LIMIT = 64 * 1024
SLOT_LIMIT = 16
EPOCH_LIMIT = 64
SlotKind = Literal["passphrase", "master-key", "recovery-key"]

_B64 = r"\A[A-Za-z0-9+/]+={0,2}\Z"
Wrapped = Annotated[str, msgspec.Meta(pattern=_B64, max_length=256)]


@attrs.frozen(kw_only=True)
class Argon2Cost:
    """Argon2id (RFC 9106) parameters of one slot. The default is the RFC's second recommended option.

    ``memory`` is in KiB. Bounds: memory 19 MiB to 1 GiB, passes 1 to 32, lanes 1 to 16, salt 16 to 64 bytes.
    """

    algorithm: Literal["argon2id"] = "argon2id"
    lanes: Annotated[int, msgspec.Meta(ge=1, le=16)] = 4
    memory: Annotated[int, msgspec.Meta(ge=19 * 1024, le=1024 * 1024)] = 64 * 1024
    passes: Annotated[int, msgspec.Meta(ge=1, le=32)] = 3
    salt: Annotated[str, msgspec.Meta(pattern=_B64, min_length=24, max_length=88)]
    version: Literal[0x13] = 0x13


@attrs.frozen(kw_only=True)
class Slot:
    """One way to unlock the root key. ``cost`` is None where the key is random and needs no stretching."""

    commitment: Wrapped
    cost: Argon2Cost | None
    created_at: Micros
    id: SlotIdField
    kind: SlotKind
    nonce: Wrapped
    wrapped: Wrapped


@attrs.frozen(kw_only=True)
class WrappedEpoch:
    """One epoch's key, wrapped under the root key."""

    created_at: Micros
    number: Ordinal
    wrapped: Wrapped


@attrs.frozen(kw_only=True)
class Header:
    """All that is stored in clear, beside sizes and counts."""

    audit_key: Wrapped
    epochs: Annotated[tuple[WrappedEpoch, ...], msgspec.Meta(min_length=1, max_length=EPOCH_LIMIT)]
    format: Literal[1] = FORMAT
    log_key: Wrapped
    root_generation: Ordinal
    signing_key: Wrapped
    slots: Annotated[tuple[Slot, ...], msgspec.Meta(min_length=1, max_length=SLOT_LIMIT)]
    suite: Literal["AES256GCM-HKDFSHA256-ARGON2ID-ED25519"] = SUITE
    vault: VaultIdField


_DECODER = msgspec.json.Decoder(Header)


@attrs.frozen
class _Version:
    format: int


_VERSION = msgspec.json.Decoder(_Version)


@attrs.frozen
class NewerHeader:
    """The header was written by a newer version of the format."""

    format: int


def encode_header(header: Header) -> bytes:
    """Canonical bytes."""
    return canonical(header)


def decode_header(raw: bytes) -> Result[Header, Tampered | NewerHeader]:
    """Decode and bound, without trusting: no cost out of bounds, no size beyond 64 KiB survives this."""
    if len(raw) > HEADER_LIMIT:
        return Failure(Tampered("header (too large)"))
    try:
        version = _VERSION.decode(raw).format
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return Failure(Tampered("header (malformed)"))
    if version > FORMAT:
        return Failure(NewerHeader(version))
    match decode_canonical(_DECODER, raw, limit=HEADER_LIMIT, what="header"):
        case Success(header):
            return _checked(header)
        case _:
            return Failure(Tampered("header (malformed or a cost out of bounds)"))


def _checked(header: Header) -> Result[Header, Tampered | NewerHeader]:
    for slot in header.slots:
        if (slot.kind == "passphrase") != (slot.cost is not None):
            return Failure(Tampered("header (slot without its cost)"))
        if slot.cost is not None:
            salt = from_base64(slot.cost.salt).value_or(b"")
            if not 16 <= len(salt) <= 64:
                return Failure(Tampered("header (salt out of bounds)"))
    if len({slot.id for slot in header.slots}) != len(header.slots):
        return Failure(Tampered("header (a slot twice)"))
    if len({epoch.number for epoch in header.epochs}) != len(header.epochs):
        return Failure(Tampered("header (an epoch twice)"))
    return Success(header)


def header_mac(mac_key: bytes | bytearray, raw: bytes) -> bytes:
    """HMAC-SHA-256 of the canonical header, stored beside it."""
    return hmac.digest(mac_key, length_prefixed("ironsecrets/v1/header", SUITE, raw), "sha256")


def header_holds(mac_key: bytes | bytearray, raw: bytes, mac: bytes) -> bool:
    """Whether ``mac`` is the header's, compared in constant time."""
    return hmac.compare_digest(header_mac(mac_key, raw), mac)


def header_digest(raw: bytes) -> Digest:
    """What the audit log says of the header, so that an older one is found."""
    return Digest(hashlib.sha256(length_prefixed("ironsecrets/v1/header-digest", raw)).hexdigest())


def raw_bytes(text: str) -> bytes:
    """A base64 field of a decoded header; empty where it is not canonical base64, which opens nothing."""
    return from_base64(text).value_or(b"")


def field(raw: bytes | bytearray) -> str:
    """The inverse of :func:`raw_bytes`."""
    return to_base64(raw)
