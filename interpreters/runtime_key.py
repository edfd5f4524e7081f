"""The HPKE key pair of a runtime, and sealing to its public half (:mod:`ironsecrets.delivery`)."""

from datetime import datetime
from types import TracebackType

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from returns.result import Failure

from interpreters.conversions import accepted, moment
from interpreters.locked_memory import copied
from interpreters.world import Clock, SystemClock
from ironsecrets.delivery import (
    BAD_DELIVERY,
    BAD_RECIPIENT,
    DELIVERY_EXPIRED,
    Delivery,
    DeliverySuite,
    Recipient,
    parse_delivery,
)
from ironsecrets.encoding import from_base64, to_base64
from ironsecrets.identifiers import LeaseId
from ironsecrets.sensitive import Sensitive

_KEMS = {"x25519": hpke.KEM.X25519, "mlkem768-x25519": hpke.KEM.MLKEM768_X25519}
_SEED, _POINT = 64, 32
_ENCAPSULATED = 1184

PrivateKey = X25519PrivateKey | hpke.MLKEM768X25519PrivateKey


def _suite(name: DeliverySuite) -> hpke.Suite:
    return hpke.Suite(_KEMS[name], hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def seal_to(recipient: Recipient, value: Sensitive, delivery: Delivery) -> Delivery:
    """``delivery`` with ``value`` sealed in it to ``recipient``. Refused: ``bad-recipient``."""
    try:
        public = _public_key(recipient)
        sealed = _suite(recipient.suite).encrypt(value.view(), public, delivery.info())  # pyright: ignore[reportArgumentType]
    except ValueError:
        return accepted(Failure(BAD_RECIPIENT))
    return attrs.evolve(delivery, sealed=to_base64(sealed))


def _public_key(recipient: Recipient) -> X25519PublicKey | hpke.MLKEM768X25519PublicKey:
    raw = recipient.public
    if recipient.suite == "x25519":
        return X25519PublicKey.from_public_bytes(raw)
    return hpke.MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(raw[:_ENCAPSULATED]),
        X25519PublicKey.from_public_bytes(raw[_ENCAPSULATED:]),
    )


@attrs.frozen(kw_only=True)
class Delivered:
    """A value that arrived, and what it was bound to. ``with`` wipes the value."""

    environment: str
    expires_at: datetime
    lease: LeaseId
    name: str
    value: Sensitive
    version: int

    def __enter__(self) -> "Delivered":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.value.wipe()


class RuntimeKey:
    """A runtime's key pair. The private half stays in memory; the public one is for whoever asks for deliveries.

    A delivery is confidential, and bound to what it says. It does not say who sealed it: anybody can seal to a public
    key, so take deliveries over a channel that says so.
    """

    def __init__(self, suite: DeliverySuite, private: Sensitive, *, clock: Clock | None = None) -> None:
        expected = _POINT if suite == "x25519" else _SEED + _POINT
        if suite not in _KEMS or len(private) != expected:
            accepted(Failure(BAD_RECIPIENT))
        self.suite: DeliverySuite = suite
        self._clock = SystemClock() if clock is None else clock
        raw = private.bytes()
        self._x25519 = X25519PrivateKey.from_private_bytes(raw[-_POINT:])
        self._mlkem = None if suite == "x25519" else MLKEM768PrivateKey.from_seed_bytes(raw[:_SEED])

    @classmethod
    def generate(cls, suite: DeliverySuite = "mlkem768-x25519", *, clock: Clock | None = None) -> "RuntimeKey":
        """A new pair: the post-quantum hybrid, or ``x25519`` alone."""
        point = X25519PrivateKey.generate().private_bytes_raw()
        seed = b"" if suite == "x25519" else MLKEM768PrivateKey.generate().private_bytes_raw()
        with Sensitive(seed + point) as private:
            return cls(suite, private, clock=clock)

    def private_bytes(self) -> Sensitive:
        """The private half, for a runtime that outlives its process: 32 bytes, or 96 of the hybrid. Wipe it."""
        seed = b"" if self._mlkem is None else self._mlkem.private_bytes_raw()
        return Sensitive(seed + self._x25519.private_bytes_raw())

    @property
    def public(self) -> str:
        """The public half as ``SUITE:BASE64``."""
        raw = self._x25519.public_key().public_bytes_raw()
        if self._mlkem is not None:
            raw = self._mlkem.public_key().public_bytes_raw() + raw
        return f"{self.suite}:{to_base64(raw)}"

    def open(self, text: str) -> Delivered:
        """The value of a delivery to this key. Refused: ``bad-delivery``, ``delivery-expired``."""
        delivery = accepted(parse_delivery(text))
        sealed = from_base64(delivery.sealed).value_or(b"")
        if delivery.suite != self.suite or not sealed:
            accepted(Failure(BAD_DELIVERY))
        try:
            opened = _suite(self.suite).decrypt(sealed, self._key(), delivery.info())  # pyright: ignore[reportArgumentType]
        except (InvalidTag, ValueError):
            return accepted(Failure(BAD_DELIVERY))
        # What says when it ends is authentic only now.
        if self._clock.now() >= delivery.expires_at:
            accepted(Failure(DELIVERY_EXPIRED), delivery.name)
        with Sensitive(opened) as value:
            return Delivered(
                environment=delivery.environment,
                expires_at=moment(delivery.expires_at),
                lease=delivery.lease,
                name=delivery.name,
                value=copied(value),
                version=delivery.version,
            )

    def _key(self) -> PrivateKey:
        return self._x25519 if self._mlkem is None else hpke.MLKEM768X25519PrivateKey(self._mlkem, self._x25519)

    def __repr__(self) -> str:
        return f"<RuntimeKey {self.suite}>"
