"""Law 10: parsing what we print gives back what we had; parsing garbage gives a refusal, never an exception."""

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from returns.result import Failure, Success

from interpreters.references import Reference, parts_of
from ironsecrets import identifiers as ids
from ironsecrets.agents import Agents, authenticate, token_text
from ironsecrets.at_rest import decode_head
from ironsecrets.audit import decode_entry, encode_entry, request_of
from ironsecrets.checkpoint import VerifierKey, parse_verifier_key, verify_checkpoint
from ironsecrets.conditions import Conditions
from ironsecrets.delivery import parse_delivery, parse_recipient
from ironsecrets.encoding import as_fields, canonical, from_base64, length_prefixed, to_base64
from ironsecrets.header import Argon2Cost, decode_header
from ironsecrets.keyring import LABELS, Keys
from ironsecrets.rates import Rate
from ironsecrets.snapshot import decode_snapshot, encode_snapshot
from ironsecrets.suspension import SuspensionPolicy
from ironsecrets.vault import Request
from properties import stores
from properties import strategies as s
from properties.worlds import new_vault

garbage = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=200).map(lambda t: t.encode("utf-8", "surrogatepass")),
    st.integers(1, 20_000).map(lambda n: b"[" * n),
    st.integers(1, 5_000).map(lambda n: b'{"command":' * n),
    st.integers(1, 3000).map(lambda n: b"9" * n),
    st.sampled_from([b"", b"null", b"NaN", b'{"at":1,"at":1}', b"{}", b"\xff\xfe", b'{"format":99999999999999999999}']),
)
KEYS = Keys({label: bytearray(32) for label in LABELS}, {})
VAULT = ids.VaultId("a" * 32)


@given(s.requests(), st.integers(0, 2**40), st.sampled_from(["applied", "no-grant"]))
def test_entries_come_back(request: Request, seq: int, verdict: str) -> None:
    raw = encode_entry(request, seq, verdict)
    match decode_entry(raw):
        case Success(entry):
            assert (entry.seq, entry.verdict) == (seq, verdict)
            assert request_of(entry) == request
        case failed:
            raise AssertionError(failed)


@given(s.requests(), st.data())
def test_only_canonical_entries_are_entries(request: Request, data: st.DataObject) -> None:
    raw = encode_entry(request, 1, "applied")
    at = data.draw(st.integers(0, len(raw)))
    put = data.draw(st.sampled_from([b" ", b"\n", b"\t", b'"v":1,', b'"x":1,', b"0", b"-"]))
    changed = raw[:at] + put + raw[at:]
    match decode_entry(changed):
        case Success(entry):
            assert encode_entry(request_of(entry) or request, entry.seq, entry.verdict) == changed
        case _:
            pass


@given(garbage)
@example(b"\x00" * 70_000)
def test_garbage_is_refused(raw: bytes) -> None:
    assert isinstance(decode_entry(raw), Failure)
    assert isinstance(decode_snapshot(raw), Failure)
    assert isinstance(decode_header(raw), Failure)
    assert isinstance(decode_head(KEYS, VAULT, raw), Failure)
    text = raw.decode("latin-1")
    assert isinstance(parse_verifier_key(text), Failure)
    assert isinstance(verify_checkpoint(text, VerifierKey("name", bytes(32))), Failure)
    assert isinstance(authenticate(Agents(), text), Failure)


@given(st.integers(0, 10_000), st.sampled_from([b" ", b"\n", b"\t"]))
def test_only_canonical_headers_snapshots_and_deliveries_are_read(at: int, space: bytes) -> None:
    """White space between tokens changes no JSON value, and makes another text of it."""
    vault = new_vault(stores.memory())
    vault.operator("o").put("a", "x", environment="development")
    image = vault._engine.store.load()  # pyright: ignore[reportPrivateUsage]
    assert image is not None
    raw = {decode_header: image.header, decode_snapshot: encode_snapshot(vault.state)}
    for decode, good in raw.items():
        assert isinstance(decode(good), Success)
        ends = [number + 1 for number, byte in enumerate(good) if byte in b",:{[" and not _quoted(good, number)]
        cut = ends[at % len(ends)]
        assert isinstance(decode(good[:cut] + space + good[cut:]), Failure)


COST = Argon2Cost(salt="A" * 22 + "==")


@pytest.mark.parametrize(
    ("sample", "field", "least", "most"),
    [
        (COST, "memory", 19 * 1024, 1024 * 1024),
        (COST, "passes", 1, 32),
        (COST, "lanes", 1, 16),
        (Rate(burst=1, count=1, per=1), "burst", 1, 10_000),
        (Rate(burst=1, count=1, per=1), "count", 1, 1_000_000),
        (Rate(burst=1, count=1, per=1), "per", 1, 366 * 86_400_000_000),
        (Conditions(default_ttl=1, maximum_ttl=1), "uses", 1, 2**53 - 1),
        (Conditions(default_ttl=1, maximum_ttl=1), "default_ttl", 1, ids.LATEST_TIME),
        (SuspensionPolicy(refusals=1, within=1), "refusals", 1, 10_000),
    ],
)
def test_bounds_are_what_they_say(sample: Any, field: str, least: int, most: int) -> None:
    """A bound is a promise of the format: one more or one less, and another reader refuses what we write."""
    kind: Any = sample.__class__
    for number, good in ((least, True), (least - 1, False), (most, True), (most + 1, False)):
        fields = as_fields(sample) | {field: number}
        try:
            msgspec.convert(fields, kind)
        except msgspec.ValidationError:
            assert not good, (field, number)
        else:
            assert good, (field, number)


@pytest.mark.parametrize("part", ["prune_grants", "prune_leases"])
def test_a_snapshot_with_a_threshold_of_nothing_is_none(part: str) -> None:
    vault = new_vault(stores.memory())
    whole: dict[str, Any] = msgspec.json.decode(encode_snapshot(vault.state))
    for least, good in ((1, True), (0, False)):
        raw = canonical(whole | {part: [["agent_one", least]]})
        assert isinstance(decode_snapshot(raw), Success) == good


def test_an_entry_has_64_kib_at_most() -> None:
    assert decode_entry(b"x" * 64 * 1024).failure() == "the entry is malformed"
    assert decode_entry(b"x" * (64 * 1024 + 1)).failure() == "the entry is larger than 64 KiB"


def _quoted(raw: bytes, at: int) -> bool:
    return raw[:at].count(b'"') % 2 == 1


@given(s.any_names, s.any_selectors)
def test_names_and_selectors_come_back(name: str, selector: str) -> None:
    if len(name) <= 255:
        assert ids.parse_secret_name(name) == Success(name)
    if len(selector) <= 255:
        assert ids.parse_selector(selector) == Success(selector)


BAD_NAMES = [
    "",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "a/../b",
    "a/./b",
    "a\x00b",
    "a\nb",
    "a\n",
    "a b",
    "a*",
    "a" * 256,
    "n" * 300,
    "straße",
    "\u212aey",
    "аpi",
    "a\u200db",
    "e\u0301",
    "a\\b",
    "~",
    "%2e%2e",
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_bad_names_are_refused_and_never_repaired(name: str) -> None:
    assert ids.parse_secret_name(name) == Failure(ids.BAD_NAME)


@pytest.mark.parametrize("selector", ["*", "a*", "a/*/b", "**/a", "a/***", "*/*", "/**", "a**", "", "a/**/"])
def test_bad_selectors_are_refused(selector: str) -> None:
    assert ids.parse_selector(selector) == Failure(ids.BAD_SELECTOR)


@given(st.text() | st.none() | st.integers() | st.binary())
def test_parsers_refuse_and_never_raise(given_: Any) -> None:
    for parse, matches in (
        (ids.parse_secret_name, ids.NAME_PATTERN),
        (ids.parse_selector, ids.SELECTOR_PATTERN),
        (ids.parse_environment, ids.ENVIRONMENT_PATTERN),
        (ids.parse_agent_id, ids.AGENT_PATTERN),
        (ids.parse_person_name, ids.PERSON_PATTERN),
        (ids.parse_grant_id, ids.GRANT_PATTERN),
        (ids.parse_lease_id, ids.LEASE_PATTERN),
        (ids.parse_request_id, ids.REQUEST_PATTERN),
    ):
        assert matches
        match parse(given_):
            case Success(same):
                assert same == given_
            case Failure(refusal):
                assert refusal.code.startswith("bad-")
            case _:
                raise AssertionError


@given(st.binary(max_size=100))
def test_base64_is_strict(raw: bytes) -> None:
    assert from_base64(to_base64(raw)) == Success(raw)
    for bad in (to_base64(raw) + "\n", to_base64(raw) + "=", " " + to_base64(raw)):
        assert isinstance(from_base64(bad), Failure)


_parts = st.lists(st.one_of(st.binary(max_size=6), st.integers(0, 2**63)), max_size=5)


@given(_parts, _parts)
def test_length_prefixes_never_collide(one: list[bytes | int], other: list[bytes | int]) -> None:
    plain = [part.to_bytes(8, "big") if isinstance(part, int) else part for part in one]
    plain_other = [part.to_bytes(8, "big") if isinstance(part, int) else part for part in other]
    assert (length_prefixed(*one) == length_prefixed(*other)) == (plain == plain_other)


@given(st.binary(min_size=40, max_size=40))
def test_tokens_name_themselves(draw: bytes) -> None:
    token, text = token_text(draw)
    assert text.startswith(f"isa_{token}_")
    assert len(text) == 4 + 16 + 1 + 64


@given(st.text(max_size=60) | st.text("ironsecrets:/{} .ab", max_size=40))
def test_deliveries_recipients_and_references_are_read_or_refused(text: str) -> None:
    assert isinstance(parse_delivery(text), Failure)
    assert isinstance(parse_recipient(text), Failure)
    parts = parts_of(text)
    if "ironsecrets://" not in text:
        assert parts == ((text.encode(),) if text else ())


@given(s.names, s.environments, st.text(" {}ab$", max_size=5), st.text(" {}ab$", max_size=5))
def test_a_reference_is_found_where_it_stands(name: str, environment: str, before: str, after: str) -> None:
    reference = f"ironsecrets://{environment}/{name}"
    assert parts_of(reference) == (Reference(environment, name),)
    text = f"{before}{{{{ {reference} }}}}{after}"
    found = parts_of(text)
    assert found is not None
    assert Reference(environment, name) in found
    rest = b"".join(part for part in found if isinstance(part, bytes))
    assert rest == (before + after).encode()
