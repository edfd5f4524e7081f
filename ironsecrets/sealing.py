"""Sealing: one value, one DEK, one message; and the committing seal that wraps everything else.

A value is sealed with AES-256-GCM (NIST SP 800-38D) under a data-encryption key used for exactly that message.
The DEK, audit entries, snapshots and keys are sealed by :func:`seal`: HKDF-Expand (RFC 5869 section 2.3) over a
fresh random 24-byte salt gives key, nonce and a commitment to the key, so that no nonce can repeat under one
sealing key, and bytes that were sealed under another key are told from bytes that were changed.

Associated data binds the suite, the vault, the secret's immutable id and the version; that of the wrapped DEK
binds the epoch too. A record moved to another secret, version or vault does not open.
"""

import hashlib
import hmac
from functools import lru_cache

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from returns.result import Failure, Result, Success

from ironsecrets.encoding import length_prefixed
from ironsecrets.identifiers import Digest, SecretId, VaultId
from ironsecrets.refusals import Refusal, Tampered
from ironsecrets.sensitive import Allocate, Writable, wipe

SUITE = "AES256GCM-HKDFSHA256-ARGON2ID-ED25519"
VALUE_LIMIT = 1024 * 1024
"""The largest value, in bytes."""
KEY_BYTES, NONCE_BYTES, TAG_BYTES, SALT_BYTES, COMMITMENT_BYTES = 32, 12, 16, 24, 32
SEAL_OVERHEAD = SALT_BYTES + COMMITMENT_BYTES + TAG_BYTES

VALUE_TOO_LARGE = Refusal("value-too-large", "a value holds at most 1 MiB")

Buffer = bytes | bytearray | memoryview
_SEAL_PREFIX = length_prefixed("ironsecrets/v1/seal", SUITE)
_VALUE_PREFIX = length_prefixed("ironsecrets/v1/value", SUITE)
_DEK_PREFIX = length_prefixed("ironsecrets/v1/dek", SUITE)


@attrs.frozen(kw_only=True)
class SealedRecord:
    """One version's ciphertext with its wrapped DEK: ``body`` is nonce, ciphertext and tag."""

    secret: SecretId
    version: int
    epoch: int
    wrap: bytes
    body: bytes


@attrs.frozen(kw_only=True)
class Wrap:
    """The wrapped DEK of one version's record."""

    secret: SecretId
    version: int
    epoch: int
    wrap: bytes


def digest_of(record: SealedRecord) -> Digest:
    """SHA-256 of the record's place and body. The wrap is left out: it changes with the epoch."""
    return Digest(
        hashlib.sha256(length_prefixed("ironsecrets/v1/record", record.secret, record.version, record.body)).hexdigest()
    )


def gcm_seal(key: Buffer, nonce: bytes, plaintext: Buffer, associated: bytes) -> bytes:
    """AES-256-GCM: ciphertext and tag."""
    return AESGCM(key).encrypt(nonce, plaintext, associated)


def gcm_open(key: Buffer, nonce: bytes, sealed: Buffer, associated: bytes) -> bytearray | None:
    """The plaintext in a buffer the caller may wipe, or None. The unverified plaintext never survives."""
    out = bytearray(max(len(sealed) - TAG_BYTES, 0))
    return out if gcm_open_into(key, nonce, sealed, associated, out) else None


def gcm_open_into(key: Buffer, nonce: bytes, sealed: Buffer, associated: bytes, out: Writable) -> bool:
    """The plaintext into ``out``, which must have its size; False, and ``out`` wiped, where it does not open."""
    if len(sealed) < TAG_BYTES:
        return False
    try:
        AESGCM(key).decrypt_into(nonce, sealed, associated, out)
    except InvalidTag:
        wipe(out)
        return False
    return True


def _expand(key: Buffer, salt: bytes, context: bytes) -> bytearray:
    out = bytearray(KEY_BYTES + NONCE_BYTES + COMMITMENT_BYTES)
    info = _SEAL_PREFIX + length_prefixed(salt, context)
    HKDFExpand(hashes.SHA256(), len(out), info).derive_into(key, out)
    return out


def seal(key: Buffer, context: bytes, salt: bytes, plaintext: Buffer) -> bytes:
    """The committing seal: ``salt`` (24 random bytes, never used before), commitment, ciphertext, tag."""
    material = _expand(key, salt, context)
    view = memoryview(material)
    sealed = gcm_seal(view[:32], bytes(view[32:44]), plaintext, context)
    out = salt + bytes(view[44:]) + sealed
    view.release()
    wipe(material)
    return out


def unseal(key: Buffer, context: bytes, sealed: bytes, what: str) -> Result[bytearray, Tampered]:
    """The inverse of :func:`seal`. ``what`` names the thing in the failure."""
    if len(sealed) < SEAL_OVERHEAD:
        return Failure(Tampered(what))
    material = _expand(key, sealed[:SALT_BYTES], context)
    view = memoryview(material)
    head = SALT_BYTES + COMMITMENT_BYTES
    opened = None
    if hmac.compare_digest(view[44:], sealed[SALT_BYTES:head]):
        opened = gcm_open(view[:32], bytes(view[32:44]), memoryview(sealed)[head:], context)
    view.release()
    wipe(material)
    return Failure(Tampered(what)) if opened is None else Success(opened)


@lru_cache(maxsize=1024)
def value_context(vault: VaultId, secret: SecretId, version: int) -> bytes:
    """Associated data of a value. No epoch: a new epoch re-wraps DEKs and leaves ciphertexts as they are."""
    return _VALUE_PREFIX + length_prefixed(vault, secret, version)


@lru_cache(maxsize=1024)
def wrap_context(vault: VaultId, secret: SecretId, version: int, epoch: int) -> bytes:
    """Associated data of a wrapped DEK."""
    return _DEK_PREFIX + length_prefixed(vault, secret, version, epoch)


@attrs.frozen(kw_only=True)
class SealingDraw:
    """The randomness that sealing one version takes, drawn by an interpreter and used once."""

    dek: bytes = attrs.field(repr=False)
    nonce: bytes
    salt: bytes


def seal_value(
    *,
    vault: VaultId,
    secret: SecretId,
    version: int,
    epoch: int,
    epoch_key: Buffer,
    value: Buffer,
    draw: SealingDraw,
) -> Result[SealedRecord, Refusal]:
    """Seal ``value`` (0 bytes to 1 MiB, opaque) as one version of one secret.

    Refusals: ``value-too-large``.
    """
    if len(value) > VALUE_LIMIT:
        return Failure(VALUE_TOO_LARGE)
    context = value_context(vault, secret, version)
    body = draw.nonce + gcm_seal(draw.dek, draw.nonce, value, context)
    wrap = seal(epoch_key, wrap_context(vault, secret, version, epoch), draw.salt, draw.dek)
    return Success(SealedRecord(secret=secret, version=version, epoch=epoch, wrap=wrap, body=body))


def rewrap_dek(
    old: Wrap, *, vault: VaultId, old_key: Buffer, new_key: Buffer, epoch: int, salt: bytes
) -> Result[Wrap, Tampered]:
    """The DEK, wrapped under another epoch. The record's body is neither needed nor touched."""
    secret, version = old.secret, old.version
    what = f"wrapped DEK of sealed record {secret} version {version}"

    match unseal(old_key, wrap_context(vault, secret, version, old.epoch), old.wrap, what):
        case Success(dek):
            wrap = seal(new_key, wrap_context(vault, secret, version, epoch), salt, dek)
            wipe(dek)
            return Success(Wrap(secret=secret, version=version, epoch=epoch, wrap=wrap))
        case Failure(tampered):
            return Failure(tampered)
        case _:
            raise AssertionError


def open_value(
    record: SealedRecord, *, vault: VaultId, epoch_key: Buffer, expected: Digest, allocate: Allocate = bytearray
) -> Result[Writable, Tampered]:
    """The value, in memory from ``allocate`` that the caller wipes. ``expected`` is the digest that the log holds."""
    what = f"sealed record {record.secret} version {record.version}"
    if digest_of(record) != expected or len(record.body) < NONCE_BYTES + TAG_BYTES:
        return Failure(Tampered(what))
    context = wrap_context(vault, record.secret, record.version, record.epoch)
    match unseal(epoch_key, context, record.wrap, f"wrapped DEK of {what}"):
        case Success(dek):
            body = memoryview(record.body)
            value = allocate(len(body) - NONCE_BYTES - TAG_BYTES)
            associated = value_context(vault, record.secret, record.version)
            whole = gcm_open_into(dek, bytes(body[:NONCE_BYTES]), body[NONCE_BYTES:], associated, value)
            wipe(dek)
            return Success(value) if whole else Failure(Tampered(what))
        case Failure(tampered):
            return Failure(tampered)
        case _:
            raise AssertionError
