"""Sealed delivery: only the runtime reads it, and what it was bound to cannot be changed on the way."""

import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from returns.result import Success

import ironsecrets
from interpreters.locked_memory import allocate, guarded, protections
from ironsecrets.audit import decode_entry
from ironsecrets.delivery import PUBLIC_BYTES, parse_delivery, parse_recipient
from ironsecrets.encoding import from_base64, to_base64
from properties.worlds import SECOND, SetClock, world
from tests.conftest import Opener

ENV = "production"
SUITES: Any = list(PUBLIC_BYTES)


@pytest.fixture
def hosted(opened: Opener) -> tuple[ironsecrets.Vault, SetClock]:
    where = world()
    assert isinstance(where.clock, SetClock)
    vault = opened(world=where)
    vault.operator("o").put("openai/key", b"\x00sk-value\xff", environment=ENV)
    vault.operator("o").grant("agent_one", "openai/*", environment=ENV, ttl=timedelta(minutes=5))
    return vault, where.clock


@pytest.mark.parametrize("suite", SUITES)
def test_a_runtime_reads_what_a_service_passes_on(hosted: tuple[ironsecrets.Vault, SetClock], suite: Any) -> None:
    vault, clock = hosted
    runtime = ironsecrets.RuntimeKey.generate(suite, clock=clock)
    delivery = vault.acting_for("agent_one").lease_sealed("openai/key", environment=ENV, to=runtime.public)
    text = delivery.text()
    assert "sk-value" not in text
    assert "sk-value" not in repr(delivery)
    with runtime.open(text) as arrived:
        assert arrived.value.bytes() == b"\x00sk-value\xff"
        assert (arrived.name, arrived.environment, arrived.lease, arrived.version) == (
            "openai/key",
            ENV,
            delivery.lease,
            1,
        )
        assert "sk-value" not in repr(arrived)
        assert protections(arrived.value) == protections(guarded(allocate(1)))
    assert arrived.value.wiped
    with runtime.private_bytes() as private:
        again = ironsecrets.RuntimeKey(suite, private, clock=clock)
    assert again.public == runtime.public
    assert again.open(text).value.bytes() == b"\x00sk-value\xff"
    entry = decode_entry(list(vault.entries())[-1]).unwrap()
    assert entry.command.recipient == parse_recipient(runtime.public).unwrap().digest()  # pyright: ignore
    assert runtime.public.split(":")[1].encode() not in b"".join(vault.entries())
    clock.time += 299 * SECOND
    runtime.open(text).value.wipe()
    clock.time += SECOND
    with pytest.raises(ironsecrets.Refused) as expired:
        runtime.open(text)
    assert expired.value.refusal.code == "delivery-expired"


@pytest.mark.parametrize("suite", SUITES)
def test_nobody_else_and_nothing_else_opens_it(hosted: tuple[ironsecrets.Vault, SetClock], suite: Any) -> None:
    vault, clock = hosted
    runtime = ironsecrets.RuntimeKey.generate(suite, clock=clock)
    text = vault.acting_for("agent_one").lease_sealed("openai/key", environment=ENV, to=runtime.public).text()
    fields = json.loads(text)

    def changed(**changes: Any) -> str:
        return json.dumps(fields | changes, sort_keys=True, separators=(",", ":"))

    sealed = from_base64(fields["sealed"]).unwrap()
    flipped = bytes((*sealed[:-1], sealed[-1] ^ 1))
    for tampered in (
        changed(name="openai/other"),
        changed(environment="staging"),
        changed(lease="ls_" + "0" * 32),
        changed(expires_at=fields["expires_at"] + 1),
        changed(version=2),
        changed(vault="0" * 32),
        changed(suite=SUITES[1 - SUITES.index(suite)]),
        changed(sealed=to_base64(flipped)),
        changed(sealed=""),
        changed(sealed=to_base64(sealed[:10])),
        changed(extra=1),
        text + " ",
        text[:-1],
        "",
        "[]",
        "ü" * 10,
    ):
        with pytest.raises(ironsecrets.Refused) as refused:
            runtime.open(tampered)
        assert refused.value.refusal.code == "bad-delivery"
    other = ironsecrets.RuntimeKey.generate(suite, clock=clock)
    with pytest.raises(ironsecrets.Refused):
        other.open(text)


def test_it_is_plain_rfc_9180(hosted: tuple[ironsecrets.Vault, SetClock]) -> None:
    """Another implementer needs only the format page: suite, info, single shot."""
    vault, _ = hosted
    private = X25519PrivateKey.generate()
    public = "x25519:" + to_base64(private.public_key().public_bytes_raw())
    delivery = vault.acting_for("agent_one").lease_sealed("openai/key", environment=ENV, to=public)
    suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    info = b""
    for part in (
        "ironsecrets/v1/delivery",
        "x25519",
        delivery.vault,
        delivery.lease,
        ENV,
        "openai/key",
        1,
        delivery.expires_at,
    ):
        raw = part.encode() if isinstance(part, str) else part.to_bytes(8, "big")
        info += len(raw).to_bytes(4, "big") + raw
    assert suite.decrypt(from_base64(delivery.sealed).unwrap(), private, info) == b"\x00sk-value\xff"
    assert delivery.info() == info


def test_a_bad_recipient_leases_nothing(hosted: tuple[ironsecrets.Vault, SetClock]) -> None:
    vault, _ = hosted
    before = vault.state.log.size
    for text in ("", "x25519", "x25519:", "x25519:AAAA", "rsa:AAAA", "mlkem768-x25519:" + to_base64(bytes(32)), "ü"):
        with pytest.raises(ironsecrets.Refused) as refused:
            vault.acting_for("agent_one").lease_sealed("openai/key", environment=ENV, to=text)
        assert refused.value.refusal.code == "bad-recipient"
    assert vault.state.log.size == before
    with pytest.raises(ironsecrets.Refused):
        # A point of low order, with which anybody could read.
        vault.acting_for("agent_one").lease_sealed("openai/key", environment=ENV, to="x25519:" + to_base64(bytes(32)))
    assert not vault.state.leases.by_id, "what was opened for it is ended"


def test_a_delivery_reads_back(hosted: tuple[ironsecrets.Vault, SetClock]) -> None:
    vault, _ = hosted
    public = ironsecrets.RuntimeKey.generate().public
    delivery = vault.acting_for("agent_one").lease_sealed("openai/key", environment=ENV, to=public)
    assert parse_delivery(delivery.text()) == Success(delivery)
    assert isinstance(vault.verify(), Success)
