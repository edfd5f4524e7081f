"""Sealed delivery: a lease's value on its way to a runtime, which alone can read it.

The runtime has a key pair for HPKE (RFC 9180, base mode, single shot): DHKEM(X25519), or the post-quantum hybrid of
ML-KEM-768 and X25519, with HKDF-SHA256 and AES-256-GCM. What is bound to the value, as HPKE's ``info``, is the vault,
the lease, the name and environment of the secret, its version, and the moment at which the lease ends.

This module says what is bound and how a delivery is written. Sealing draws randomness and is an interpreter's.
"""

import hashlib
from typing import Annotated, Literal

import attrs
import msgspec
from returns.result import Failure, Result, Success

from ironsecrets.encoding import canonical, decode_canonical, from_base64, length_prefixed
from ironsecrets.identifiers import (
    Digest,
    EnvironmentField,
    LeaseIdField,
    Micros,
    Ordinal,
    SecretNameField,
    VaultIdField,
)
from ironsecrets.refusals import Refusal
from ironsecrets.sealing import VALUE_LIMIT

BAD_DELIVERY = Refusal("bad-delivery", "that is no delivery for this runtime's key, or it was changed on its way")
DELIVERY_EXPIRED = Refusal("delivery-expired", "the lease behind that delivery has ended; ask for another one")
BAD_RECIPIENT = Refusal("bad-recipient", "a recipient is SUITE:BASE64, as a runtime key prints its public key")

DeliverySuite = Literal["x25519", "mlkem768-x25519"]
PUBLIC_BYTES: dict[DeliverySuite, int] = {"x25519": 32, "mlkem768-x25519": 1216}
_LIMIT = VALUE_LIMIT * 4 // 3 + 8192


@attrs.frozen(kw_only=True)
class Delivery:
    """A value sealed to a runtime. Only ``sealed`` (base64) is secret; all else is for whoever passes it on."""

    environment: EnvironmentField
    expires_at: Micros
    lease: LeaseIdField
    name: SecretNameField
    sealed: Annotated[str, msgspec.Meta(max_length=_LIMIT)]
    suite: DeliverySuite
    v: Literal[1] = 1
    vault: VaultIdField
    version: Ordinal

    def info(self) -> bytes:
        """What is bound to the value."""
        return length_prefixed(
            "ironsecrets/v1/delivery",
            self.suite,
            self.vault,
            self.lease,
            self.environment,
            self.name,
            self.version,
            self.expires_at,
        )

    def text(self) -> str:
        """Canonical JSON; :func:`parse_delivery` reads it back."""
        return canonical(self).decode()


_DECODER = msgspec.json.Decoder(Delivery)


def parse_delivery(text: str) -> Result[Delivery, Refusal]:
    """A delivery as it is written. Refusals: ``bad-delivery``."""
    raw = text.encode("utf-8", "replace")
    decoded = decode_canonical(_DECODER, raw, limit=_LIMIT + 2048, what="delivery")
    return decoded.alt(lambda _: BAD_DELIVERY)


@attrs.frozen
class Recipient:
    """A runtime's public key."""

    suite: DeliverySuite
    public: bytes

    def digest(self) -> Digest:
        """What the log holds of it."""
        return Digest(hashlib.sha256(length_prefixed("ironsecrets/v1/recipient", self.suite, self.public)).hexdigest())


def parse_recipient(text: str) -> Result[Recipient, Refusal]:
    """``SUITE:BASE64``. Refusals: ``bad-recipient``."""
    name, _, encoded = text.partition(":")
    for suite, size in PUBLIC_BYTES.items():
        if suite == name:
            public = from_base64(encoded).value_or(b"")
            return Success(Recipient(suite, public)) if len(public) == size else Failure(BAD_RECIPIENT)
    return Failure(BAD_RECIPIENT)
