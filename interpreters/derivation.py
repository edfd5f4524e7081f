"""Slot keys from what people hold: Argon2id (RFC 9106) over a passphrase, or a raw master key.

Argon2 is called on buffers of ours that are wiped afterwards: both ordinary calls of the library would leave
the passphrase behind in the C heap.
"""

import base64
import binascii
from typing import Any, cast

import attrs
from argon2.low_level import ARGON2_VERSION, core, error_to_str, ffi, lib  # pyright: ignore[reportUnknownVariableType]

from ironsecrets.encoding import to_base64
from ironsecrets.errors import CannotUnlock, StoreUnavailable
from ironsecrets.header import Argon2Cost, SlotKind, raw_bytes
from ironsecrets.sensitive import Sensitive

MASTER_KEY_BYTES = 32
_ARGON2ID = 2


@attrs.frozen(kw_only=True)
class Credential:
    """What unlocks a slot of this kind."""

    kind: SlotKind
    material: Sensitive


def passphrase_credential(passphrase: str | bytes | Sensitive) -> Credential:
    """A passphrase, used as its UTF-8 bytes, exactly as given."""
    material = Sensitive(passphrase.view() if isinstance(passphrase, Sensitive) else passphrase)
    return Credential(kind="passphrase", material=material)


def master_key_credential(master_key: str | bytes | Sensitive) -> Credential:
    """A raw master key: 32 bytes, or their base64 text."""
    if isinstance(master_key, Sensitive):
        raw = master_key.bytes()
    elif isinstance(master_key, str):
        try:
            raw = base64.b64decode(master_key.strip(), validate=True)
        except (binascii.Error, ValueError):
            raise CannotUnlock("the master key is not base64; it is base64 of exactly 32 bytes") from None
    else:
        raw = master_key
    if len(raw) != MASTER_KEY_BYTES:
        raise CannotUnlock("the master key is not 32 bytes long; it is base64 of exactly 32 bytes")
    return Credential(kind="master-key", material=Sensitive(raw))


def fresh_cost(salt: bytes) -> Argon2Cost:
    """Today's policy for a new slot, with 16 random bytes of salt."""
    return Argon2Cost(salt=to_base64(salt))


def slot_key(credential: Credential, cost: Argon2Cost | None) -> Sensitive:
    """The 32-byte key that a slot of this cost (None: no stretching) is wrapped under. The caller wipes it."""
    if cost is None:
        return Sensitive(credential.material.view())
    return Sensitive.adopt(argon2id(credential.material, raw_bytes(cost.salt), cost))


def argon2id(
    passphrase: Sensitive,
    salt: bytes,
    cost: Argon2Cost,
    *,
    length: int = 32,
    secret: bytes = b"",
    associated: bytes = b"",
) -> bytearray:
    """Argon2id, RFC 9106 section 3, into a buffer of ours. ``secret`` and ``associated`` are its K and X."""
    out = bytearray(length)
    foreign = cast(Any, ffi)
    library = cast(Any, lib)
    keep = [foreign.from_buffer(one) for one in (out, passphrase.view(), bytearray(salt))]
    extra = [foreign.from_buffer(bytearray(one)) for one in (secret, associated)]
    context = foreign.new(
        "argon2_context *",
        {
            "out": foreign.cast("uint8_t *", keep[0]),
            "outlen": length,
            "pwd": foreign.cast("uint8_t *", keep[1]),
            "pwdlen": len(passphrase),
            "salt": foreign.cast("uint8_t *", keep[2]),
            "saltlen": len(salt),
            "secret": foreign.cast("uint8_t *", extra[0]) if secret else foreign.NULL,
            "secretlen": len(secret),
            "ad": foreign.cast("uint8_t *", extra[1]) if associated else foreign.NULL,
            "adlen": len(associated),
            "t_cost": cost.passes,
            "m_cost": cost.memory,
            "lanes": cost.lanes,
            "threads": cost.lanes,
            "version": ARGON2_VERSION,
            "allocate_cbk": foreign.NULL,
            "free_cbk": foreign.NULL,
            "flags": library.ARGON2_DEFAULT_FLAGS,
        },
    )
    status = core(context, _ARGON2ID)
    if status != library.ARGON2_OK:
        raise StoreUnavailable(f"Argon2id failed: {error_to_str(status)}")
    return out
