"""Checkpoints: signed statements of the log's size and root hash, as C2SP signed notes.

A checkpoint is a C2SP ``tlog-checkpoint``: three lines (origin, decimal size, base64 root hash), a blank line
and one C2SP ``signed-note`` signature line (an em dash, the key name, and base64 of a 4-byte key hash with the
64-byte Ed25519 signature, RFC 8032). The verifier key is the note format's ``name+hash+key``. Other people's
transparency-log tools verify both as they are.
"""

import hashlib
import re
from typing import Annotated

import attrs
import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from returns.result import Failure, Result, Success

from ironsecrets.encoding import from_base64, to_base64
from ironsecrets.identifiers import ID_PATTERN, VaultId
from ironsecrets.refusals import Refusal
from ironsecrets.sealing import Buffer

ALGORITHM = 1
NOTE_LIMIT = 16 * 1024
BAD_VERIFIER_KEY = Refusal("bad-verifier-key", "that is not a verifier key of the form name+hash+key")
WEAK_VERIFIER_KEY = Refusal("weak-verifier-key", "that verifier key is of low order and would accept forgeries")
BAD_CHECKPOINT = Refusal("bad-checkpoint", "that is not a well-formed checkpoint")
BAD_SIGNATURE = Refusal("bad-signature", "the checkpoint is not signed by that verifier key")

# The Ed25519 points of order 1, 2, 4 and 8, and their non-canonical encodings, with the sign bit cleared.
_LOW_ORDER = frozenset(
    bytes.fromhex(text)
    for text in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)


@attrs.frozen
class VerifierKey:
    """An Ed25519 public key under a name: what a reader needs to check checkpoints."""

    name: str
    public: bytes

    def key_hash(self) -> bytes:
        """The first 4 bytes of SHA-256 over name, newline, algorithm and key (C2SP signed-note)."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([ALGORITHM]) + self.public).digest()[:4]

    def text(self) -> str:
        """``name+hash+key``."""
        return f"{self.name}+{self.key_hash().hex()}+{to_base64(bytes([ALGORITHM]) + self.public)}"


@attrs.frozen
class Checkpoint:
    """The log ``origin`` had ``size`` entries with this root hash (32 bytes)."""

    origin: str
    size: Annotated[int, msgspec.Meta(ge=0)]
    root: bytes

    def body(self) -> str:
        """The signed text."""
        return f"{self.origin}\n{self.size}\n{to_base64(self.root)}\n"


def origin_of(vault: VaultId) -> str:
    """The log's name in checkpoints and verifier keys: ``ironsecrets/<vault id>``."""
    return f"ironsecrets/{vault}"


def vault_of(origin: str) -> VaultId | None:
    """The inverse of :func:`origin_of`."""
    prefix, _, vault = origin.partition("/")
    return VaultId(vault) if prefix == "ironsecrets" and re.match(ID_PATTERN, vault) else None


def public_key_of(private: Buffer) -> bytes:
    """The Ed25519 public key (32 bytes) of a private one (32 bytes)."""
    return Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def parse_verifier_key(text: str) -> Result[VerifierKey, Refusal]:
    """Parse ``name+hash+key``. Refusals: ``bad-verifier-key``, ``weak-verifier-key``."""
    matched = re.fullmatch(r"([^\s+]{1,255})\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})\n?", text[:1024])
    if matched is None:
        return Failure(BAD_VERIFIER_KEY)
    raw = from_base64(matched[3]).value_or(b"")
    if len(raw) != 33 or raw[0] != ALGORITHM:
        return Failure(BAD_VERIFIER_KEY)
    key = VerifierKey(matched[1], raw[1:])
    if key.key_hash().hex() != matched[2]:
        return Failure(BAD_VERIFIER_KEY)
    if raw[1:32] + bytes([raw[32] & 0x7F]) in _LOW_ORDER:
        return Failure(WEAK_VERIFIER_KEY)
    return Success(key)


def sign_checkpoint(checkpoint: Checkpoint, private: Buffer) -> str:
    """The signed note. Ed25519 is deterministic, so one size and root have one note."""
    key = VerifierKey(checkpoint.origin, public_key_of(private))
    signature = Ed25519PrivateKey.from_private_bytes(private).sign(checkpoint.body().encode())
    return f"{checkpoint.body()}\n— {key.name} {to_base64(key.key_hash() + signature)}\n"


_NOTE = re.compile(
    r"([^\n+\s]+)\n(0|[1-9][0-9]{0,15})\n([A-Za-z0-9+/]{43}=)\n((?:[^\n]+\n)*)\n((?:— [^\n ]+ [A-Za-z0-9+/]+={0,2}\n)+)"
)


def verify_checkpoint(note: str, key: VerifierKey) -> Result[Checkpoint, Refusal]:
    """Parse a signed note and check its signature by ``key``; signatures by others are passed over.

    Refusals: ``bad-checkpoint`` (malformed, or of another log), ``bad-signature``.
    """
    matched = _NOTE.fullmatch(note) if len(note) <= NOTE_LIMIT else None
    if matched is None:
        return Failure(BAD_CHECKPOINT)
    root = from_base64(matched[3]).value_or(b"")
    if len(root) != 32 or matched[1] != key.name:
        return Failure(BAD_CHECKPOINT)
    signed = note[: matched.start(5) - 1].encode()
    # Not splitlines(): a name of somebody else may hold what Python takes for a line end.
    for line in matched[5].removesuffix("\n").split("\n"):
        _, name, encoded = line.split(" ")
        raw = from_base64(encoded).value_or(b"")
        if name == key.name and len(raw) == 68 and raw[:4] == key.key_hash():
            try:
                Ed25519PublicKey.from_public_bytes(key.public).verify(raw[4:], signed)
            except InvalidSignature:
                return Failure(BAD_SIGNATURE)
            return Success(Checkpoint(matched[1], int(matched[2]), root))
    return Failure(BAD_SIGNATURE)
