"""IP tokens as a host uses them, between a vault and a runtime."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import ironsecrets
from ironsecrets.encoding import from_base64, to_base64
from tests.test_vectors import blocks

KEY = "00112233445566778899aabbccddeeff" * 2
VALUE = "sk-proj-0123456789abcdefghij"


def test_nist_vectors_as_tokens() -> None:
    tried = 0
    for block in blocks("ciphers", "AES", "GCM", "gcmEncryptExtIV256.rsp"):
        parts = [bytes.fromhex(block.get(name, "")) for name in ("iv", "ct", "tag")]
        if block.get("aad") or "count" not in block or len(parts[0]) != 12 or len(parts[2]) != 16:
            continue
        if not any(bytes.fromhex(block["key"])):
            continue
        token = ":".join(("AES256", *(to_base64(part) for part in parts)))
        with ironsecrets.IPTokenKey(block["key"]) as key, key.decrypt(token) as value:
            assert value.bytes() == bytes.fromhex(block.get("pt", ""))
        tried += 1
    assert tried >= 15


def test_from_a_lease_to_a_runtime_and_back_into_a_vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IP_TOKEN_KEY", KEY)
    panel = ironsecrets.IPTokenKey.from_environment()
    with ironsecrets.create_vault(tmp_path / "a.vault", master_key=bytes(range(32))) as vault:
        operator = vault.operator("olga")
        operator.put("openai/api-key", VALUE, environment="production")
        operator.enroll("agent_reader01")
        operator.grant("agent_reader01", "openai/*", environment="production")
        with vault.acting_for("agent_reader01").lease("openai/api-key", environment="production") as lease:
            token, again = lease.ip_token(panel), lease.ip_token(panel)
        assert token != again, "a nonce is used once"
        with pytest.raises(ironsecrets.Refused):
            lease.ip_token(panel)
        # What the platform does with it, by its description alone.
        word, nonce, ciphertext, tag = token.split(":")
        assert word == "AES256"
        raw = [from_base64(part).unwrap() for part in (nonce, ciphertext, tag)]
        assert AESGCM(bytes.fromhex(KEY)).decrypt(raw[0], raw[1] + raw[2], None) == VALUE.encode()
        with panel.decrypt(token) as value:
            operator.put("openai/copy", value, environment="production")
        with operator.reveal("openai/copy", environment="production") as kept:
            assert kept.bytes() == VALUE.encode()
        assert token not in "".join(str(entry) for entry in vault.entries())


@pytest.mark.parametrize("text", ["", "0" * 64, KEY[:-1], KEY + "0", KEY[:-1] + "g", " " + KEY[1:]])
def test_a_bad_key_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ironsecrets.Refused, match="64 hex characters") as caught:
        ironsecrets.IPTokenKey.from_environment({"IP_TOKEN_KEY": text})
    assert caught.value.refusal.code == "bad-ip-token-key"
    assert not text or text not in str(caught.value)


def test_nothing_is_shown_and_a_wiped_key_is_not_used() -> None:
    key = ironsecrets.IPTokenKey(KEY)
    token = key.encrypt(VALUE)
    assert KEY not in repr(key)
    with pytest.raises(ironsecrets.Refused) as caught:
        key.decrypt(token[:-4] + "AA==")
    assert caught.value.refusal.code == "bad-ip-token"
    assert VALUE not in str(caught.value)
    key.wipe()
    for use in (lambda: key.encrypt(VALUE), lambda: key.decrypt(token)):
        with pytest.raises(ValueError, match="wiped"):
            use()
