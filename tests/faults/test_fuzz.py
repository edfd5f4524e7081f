"""Parsers under hostile input: a refusal, never an exception, in bounded memory.

Good inputs are cut, spliced, repeated and bent; some are nested or huge from the start. With atheris installed
(``pip install ironsecrets[fuzz]``), ``python -m tests.faults.fuzz 60`` goes on from there, guided by coverage.
"""

import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ironsecrets.header import decode_header
from tests.faults.depth import DEEP
from tests.faults.parsers import Parser, answered, parsers

ALL = parsers()
PIECES = [
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\n",
    b"\r\n",
    b"\x00",
    b"\xff",
    b"\xc0\x80",
    b"\\u0000",
    b"1e999",
    b"-0",
]
PIECES += [b"9" * 400, b"null", b"NaN", b'"at":1,', b"\xe2\x80\x94 ", b"=", b"/", b"..", b"%", b"{{", b"}}", b"A" * 300]


@st.composite
def bent(draw: st.DrawFn, good: bytes) -> bytes:
    """A good input after a few accidents."""
    raw = good
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw)))
        until = draw(st.integers(at, min(len(raw), at + 40)))
        match draw(st.integers(0, 5)):
            case 0:
                raw = raw[:at] + raw[until:]
            case 1:
                raw = raw[:at] + draw(st.sampled_from(PIECES)) + raw[until:]
            case 2:
                raw = raw[:until] + raw[at:until] * draw(st.integers(1, 30)) + raw[until:]
            case 3:
                raw = raw[:at]
            case 4 if at < len(raw):
                raw = raw[:at] + bytes([raw[at] ^ (1 << draw(st.integers(0, 7)))]) + raw[at + 1 :]
            case _:
                raw = raw[:at] + draw(st.binary(max_size=12)) + raw[at:]
    return raw


@pytest.mark.parametrize("parser", ALL, ids=lambda parser: parser.name)
def test_bent_inputs_are_refused_or_read(parser: Parser, record_property: Callable[[str, object], None]) -> None:
    tried = 0

    @settings(max_examples=3000 if DEEP else 60, deadline=None, database=None)
    @given(bent(parser.good))
    def bend(raw: bytes) -> None:
        nonlocal tried
        answered(parser, raw)
        tried += 1

    bend()
    record_property("faults", ("hostile inputs to parsers", tried, 0))


@pytest.mark.parametrize("end", ["\x85", "\u2028", "\x0b", "\x1c"])
def test_a_line_end_of_pythons_own_is_none_of_a_notes(end: str) -> None:
    """Found by the fuzzer: ``splitlines`` cuts where no note ends a line, and the pieces did not unpack."""
    parser = next(parser for parser in ALL if parser.name == "checkpoint")
    cosigned = parser.good.decode().replace("\n— ", f"\n— some{end}body AAAA\n— ")
    assert answered(parser, cosigned.encode())


HUGE = {
    "nested lists": b"[" * 500_000,
    "nested objects": b'{"command":' * 200_000,
    "a huge number": b'{"at":' + b"9" * 1_000_000 + b"}",
    "one huge string": b'"' + b"x" * 2_000_000 + b'"',
    "many lines": b"A=1\n" * 20_000,
    "nothing but newlines": b"\n" * 1_000_000,
    "zeros": bytes(1_000_000),
    "unclosed quotes": b'A="' + b"x\n" * 300_000,
    "slashes": b"a/" * 300_000,
    "dashes": "— a a\n".encode() * 100_000,
}


@pytest.mark.parametrize("huge", HUGE)
@pytest.mark.parametrize("parser", ALL, ids=lambda parser: parser.name)
def test_huge_inputs_cost_little_memory(parser: Parser, huge: str) -> None:
    raw = HUGE[huge]
    tracemalloc.start()
    try:
        answered(parser, raw)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200 * len(raw) + 32 * 2**20


def test_hostile_costs_are_refused_before_any_memory_is_taken() -> None:
    """An Argon2id cost in a header is its writer's choice until the header is known to be ours."""
    header = next(parser for parser in ALL if parser.name == "header").good
    for memory, passes, lanes in (
        (2**31, 3, 4),
        (2**20 + 1, 3, 4),
        (65536, 33, 4),
        (65536, 3, 17),
        (1, 1, 1),
        (-1, 3, 4),
    ):
        cost = (
            b'"cost":{"algorithm":"argon2id","lanes":%d,"memory":%d,"passes":%d,"salt":"AAAAAAAAAAAAAAAAAAAAAA==",'
            b'"version":19}' % (lanes, memory, passes)
        )
        hostile = header.replace(b'"cost":null', cost).replace(b'"master-key"', b'"passphrase"')
        assert hostile != header
        tracemalloc.start()
        refused = decode_header(hostile)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert type(refused).__name__ == "Failure"
        assert peak < 2**20
