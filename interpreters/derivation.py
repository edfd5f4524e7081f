"""Slot keys from what people hold: Argon2id (RFC 9106) over a passphrase, or a raw master key.

Argon2 is called on buffers of ours that are wiped afterwards: both ordinary calls of the library would leave
the passphrase behind in the C heap.
"""

import base64
import binascii
import hashlib
import time
from collections.abc import Callable
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


RECOVERY_GROUP = 7


def new_recovery_key(draw: bytes) -> Sensitive:
    """The text of a recovery key made of 32 random bytes: base32 in groups, with a 3-byte checksum."""
    text = base64.b32encode(draw + _checksum(draw)).decode()
    groups = [text[start : start + RECOVERY_GROUP] for start in range(0, len(text), RECOVERY_GROUP)]
    return Sensitive("-".join(groups))


def recovery_key_credential(text: str | bytes | Sensitive) -> Credential:
    """A recovery key as a person typed it: case, spaces and dashes do not matter, nor 0 for O, 1 for I, 8 for B.

    Raises :class:`CannotUnlock` where the checksum says that it was mistyped.
    """
    raw = text.bytes() if isinstance(text, Sensitive) else text.encode() if isinstance(text, str) else text
    squeezed = raw.upper().translate(bytes.maketrans(b"018", b"OIB"), b" -\t\r\n")
    try:
        decoded = base64.b32decode(squeezed)
    except (binascii.Error, ValueError):
        decoded = b""
    if len(decoded) != MASTER_KEY_BYTES + 3 or _checksum(decoded[:MASTER_KEY_BYTES]) != decoded[MASTER_KEY_BYTES:]:
        raise CannotUnlock("that is not a recovery key, or it was mistyped: its checksum does not fit")
    return Credential(kind="recovery-key", material=Sensitive(decoded[:MASTER_KEY_BYTES]))


def _checksum(raw: bytes) -> bytes:
    return hashlib.sha256(b"ironsecrets/v1/recovery-key" + raw).digest()[:3]


def calibrated_cost(salt: bytes, seconds: float, clock: Callable[[], float] = time.perf_counter) -> Argon2Cost:
    """A cost that takes about ``seconds`` on this machine: never below today's policy, more passes, then memory."""
    cost = fresh_cost(salt)
    probe = Sensitive(b"calibration")
    while True:
        began = clock()
        argon2id(probe, salt, cost)
        spent = clock() - began
        factor = seconds / max(spent, 1e-6)
        if factor < 1.25:
            return cost
        passes = min(32, max(cost.passes + 1, int(cost.passes * factor)))
        if cost.passes < 32:
            cost = attrs.evolve(cost, passes=passes)
        elif cost.memory < 1024 * 1024:
            cost = attrs.evolve(cost, memory=min(1024 * 1024, cost.memory * 2))
        else:
            return cost


def below_policy(cost: Argon2Cost | None) -> bool:
    """Whether a slot's cost is under today's default."""
    today = fresh_cost(bytes(16))
    return cost is not None and cost.memory * cost.passes < today.memory * today.passes


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
