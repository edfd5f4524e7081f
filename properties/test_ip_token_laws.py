"""IP tokens: every value comes back, under its own key only, and from no other text."""

import base64

from hypothesis import example, given
from hypothesis import strategies as st
from returns.result import Failure, Success

from ironsecrets.ip_tokens import (
    BAD_IP_TOKEN,
    BAD_IP_TOKEN_KEY,
    open_ip_token,
    parse_ip_token_key,
    seal_ip_token,
)
from ironsecrets.sealing import VALUE_LIMIT, VALUE_TOO_LARGE
from ironsecrets.sensitive import Sensitive
from properties import strategies as s

keys = st.binary(min_size=32, max_size=32).filter(any)
nonces = st.binary(min_size=12, max_size=12)


def key_of(raw: bytes) -> Sensitive:
    return parse_ip_token_key(raw.hex()).unwrap()


def token_of(raw: bytes, nonce: bytes, value: bytes) -> str:
    return seal_ip_token(key_of(raw), nonce, Sensitive(value)).unwrap()


@given(keys, nonces, s.values)
@example(bytes(31) + b"\1", bytes(12), b"")
def test_every_value_comes_back(raw: bytes, nonce: bytes, value: bytes) -> None:
    token = token_of(raw, nonce, value)
    word, *parts = token.split(":")
    assert word == "AES256"
    assert [len(base64.b64decode(part, validate=True)) for part in parts] == [12, len(value), 16]
    assert open_ip_token(key_of(raw), token).unwrap().bytes() == value


@given(keys, keys, nonces, s.values)
def test_another_key_opens_nothing(raw: bytes, other: bytes, nonce: bytes, value: bytes) -> None:
    if raw != other:
        assert open_ip_token(key_of(other), token_of(raw, nonce, value)) == Failure(BAD_IP_TOKEN)


@given(keys, nonces, st.binary(max_size=40), st.data())
def test_no_other_text_opens(raw: bytes, nonce: bytes, value: bytes, data: st.DataObject) -> None:
    """A character changed, dropped or added anywhere, base64's unused bits and padding among them."""
    token = token_of(raw, nonce, value)
    at = data.draw(st.integers(0, len(token)))
    cut = data.draw(st.integers(0, 2))
    put = data.draw(st.text(st.sampled_from("ABCDwxyz0189+/=:-_ \n\0é"), max_size=2))
    changed = token[:at] + put + token[at + cut :]
    if changed != token:
        assert open_ip_token(key_of(raw), changed) == Failure(BAD_IP_TOKEN)


@given(keys, st.text() | st.lists(st.text(), min_size=3, max_size=3).map(lambda parts: ":".join(["AES256", *parts])))
def test_garbage_is_refused(raw: bytes, text: str) -> None:
    assert open_ip_token(key_of(raw), text) == Failure(BAD_IP_TOKEN)


def test_the_largest_value_and_one_more() -> None:
    raw = bytes(range(32))
    token = token_of(raw, bytes(12), bytes(VALUE_LIMIT))
    assert open_ip_token(key_of(raw), token).unwrap() == Sensitive(bytes(VALUE_LIMIT))
    assert seal_ip_token(key_of(raw), bytes(12), Sensitive(bytes(VALUE_LIMIT + 1))) == Failure(VALUE_TOO_LARGE)
    word, nonce, ciphertext, tag = token.split(":")
    longer = base64.b64encode(bytes(VALUE_LIMIT + 1)).decode()
    for text in (f"{word}:{nonce}:{longer}:{tag}", f"{word}:{nonce}:{ciphertext * 2}:{tag}"):
        assert open_ip_token(key_of(raw), text) == Failure(BAD_IP_TOKEN)


@given(keys)
def test_a_key_is_its_hex_in_either_case(raw: bytes) -> None:
    for text in (raw.hex(), raw.hex().upper()):
        assert parse_ip_token_key(text).map(Sensitive.bytes) == Success(raw)


@given(
    st.text(max_size=70)
    | st.text(st.sampled_from("0aF g_é٣"), min_size=64, max_size=64).filter(
        lambda text: not text.isalnum() or "g" in text
    )
)
@example("0" * 64)
@example("ab " * 21 + "a")
@example("٣" * 64)
@example("0" * 62)
@example(" " + "0" * 62 + "1")
def test_what_is_no_key_is_refused(text: str) -> None:
    assert parse_ip_token_key(text) == Failure(BAD_IP_TOKEN_KEY)
