"""Law 1: sealing round-trips every byte string; any changed bit, and any other place, fails."""

from hypothesis import given
from hypothesis import strategies as st
from returns.result import Failure, Success

from ironsecrets.identifiers import SecretId, VaultId
from ironsecrets.sealing import (
    VALUE_LIMIT,
    VALUE_TOO_LARGE,
    SealedRecord,
    SealingDraw,
    digest_of,
    open_value,
    seal,
    seal_value,
    unseal,
)
from properties import strategies as s

VAULT, SECRET = VaultId("a" * 32), SecretId("b" * 32)
KEY = bytes(range(32))
blocks = st.binary(min_size=32, max_size=32)
draws = st.builds(SealingDraw, dek=blocks, nonce=blocks.map(lambda b: b[:12]), salt=blocks.map(lambda b: b[:24]))


def sealed(value: bytes, draw: SealingDraw, version: int = 1, epoch: int = 1) -> SealedRecord:
    return seal_value(
        vault=VAULT, secret=SECRET, version=version, epoch=epoch, epoch_key=KEY, value=value, draw=draw
    ).unwrap()


def opens(record: SealedRecord, expected: SealedRecord, vault: VaultId = VAULT, key: bytes = KEY) -> bool:
    return isinstance(open_value(record, vault=vault, epoch_key=key, expected=digest_of(expected)), Success)


@given(s.values, draws)
def test_every_value_comes_back(value: bytes, draw: SealingDraw) -> None:
    record = sealed(value, draw)
    assert open_value(record, vault=VAULT, epoch_key=KEY, expected=digest_of(record)).unwrap() == value


@given(st.sampled_from([0, 1, VALUE_LIMIT]), st.binary(min_size=1, max_size=1), draws)
def test_every_size_comes_back(size: int, fill: bytes, draw: SealingDraw) -> None:
    record = sealed(fill * size, draw)
    assert open_value(record, vault=VAULT, epoch_key=KEY, expected=digest_of(record)).unwrap() == fill * size


@given(draws)
def test_a_larger_value_is_refused(draw: SealingDraw) -> None:
    refused = seal_value(
        vault=VAULT, secret=SECRET, version=1, epoch=1, epoch_key=KEY, value=bytes(VALUE_LIMIT + 1), draw=draw
    )
    assert refused == Failure(VALUE_TOO_LARGE)


@given(s.values, draws, st.data())
def test_any_changed_bit_fails(value: bytes, draw: SealingDraw, data: st.DataObject) -> None:
    record = sealed(value, draw)
    field = data.draw(st.sampled_from(["wrap", "body"]))
    raw = bytearray(getattr(record, field))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    parts = {"wrap": record.wrap, "body": record.body, field: bytes(raw)}
    changed = SealedRecord(secret=record.secret, version=record.version, epoch=record.epoch, **parts)
    assert not opens(changed, record)
    # Even whoever could rewrite the log's digest to fit does not get past the ciphertext's own tag.
    assert not opens(changed, changed)


@given(s.values, draws, draws)
def test_a_record_opens_in_its_own_place_only(value: bytes, draw: SealingDraw, other: SealingDraw) -> None:
    record = sealed(value, draw)
    for moved in (
        SealedRecord(secret=SecretId("c" * 32), version=1, epoch=1, wrap=record.wrap, body=record.body),
        SealedRecord(secret=SECRET, version=2, epoch=1, wrap=record.wrap, body=record.body),
        SealedRecord(secret=SECRET, version=1, epoch=2, wrap=record.wrap, body=record.body),
    ):
        assert not opens(moved, moved)
    assert not opens(record, record, vault=VaultId("d" * 32))
    assert not opens(record, record, key=bytes(32))
    if draw.dek != other.dek:
        second = sealed(value, other)
        crossed = SealedRecord(secret=SECRET, version=1, epoch=1, wrap=second.wrap, body=record.body)
        assert not opens(crossed, record)
        assert not opens(second, record), "sealed well, in the same place, but not what the log says"


@given(s.values, blocks, st.binary(max_size=40), st.binary(max_size=40))
def test_the_committing_seal_opens_under_its_own_key_and_context_only(
    value: bytes, salt: bytes, context: bytes, other: bytes
) -> None:
    box = seal(KEY, context, salt[:24], value)
    assert unseal(KEY, context, box, "it").unwrap() == value
    assert isinstance(unseal(bytes(32), context, box, "it"), Failure)
    if other != context:
        assert isinstance(unseal(KEY, other, box, "it"), Failure)
    assert isinstance(unseal(KEY, context, box[:-1], "it"), Failure)
    assert isinstance(unseal(KEY, context, b"", "it"), Failure)


@given(st.lists(draws, min_size=2, max_size=6, unique_by=lambda d: d.salt), s.values)
def test_no_key_and_nonce_seal_twice(many: list[SealingDraw], value: bytes) -> None:
    """Law 3's part that holds already: wraps under one epoch never share their derived bytes."""
    wraps = [sealed(value, draw, version=n).wrap for n, draw in enumerate(many, 1)]
    assert len({wrap[24:56] for wrap in wraps}) == len(wraps)
