"""Laws of redaction: no value leaves a stream wherever it is cut, and nothing else is touched."""

import contextlib
from collections.abc import Generator

from hypothesis import example, given
from hypothesis import strategies as st

from interpreters.locked_memory import guarded
from interpreters.needles import needles
from interpreters.redaction import MARK, Scrubber, scrub
from ironsecrets.sensitive import Sensitive


@contextlib.contextmanager
def live(value: bytes) -> Generator[Sensitive]:
    """A value as an opened vault would hold it."""
    held = guarded(bytearray(value))
    try:
        yield held
    finally:
        held.wipe()


values = st.binary(min_size=4, max_size=40).filter(any)


@st.composite
def cut_streams(draw: st.DrawFn) -> tuple[list[bytes], bytes, list[bytes]]:
    """Values, an output that holds some of them, and the same output in pieces."""
    kept = draw(st.lists(values, min_size=1, max_size=3))
    pieces = draw(
        st.lists(
            st.binary(max_size=12) | st.sampled_from(kept) | st.sampled_from(kept).map(lambda v: v[:-1]), max_size=8
        )
    )
    whole = b"".join(pieces)
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    return kept, whole, parts


@given(cut_streams(), st.booleans())
def test_a_stream_is_scrubbed_wherever_it_is_cut(made: tuple[list[bytes], bytes, list[bytes]], pauses: bool) -> None:
    kept, whole, parts = made
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(live(value)) for value in kept]
        wanted = needles(held)
        scrubber = Scrubber(lambda: wanted)
        out = b""
        for part in parts:
            out += scrubber.feed(part)
            if pauses:
                out += scrubber.pause()
        out += scrubber.finish()
        if not pauses:
            assert out.replace(MARK, b"") == scrub(whole, wanted).replace(MARK, b"")
        # Of a value that stands whole in the output, no more than a beginning of three bytes ever leaves.
        for value in kept:
            assert value in MARK or not any(value in piece for piece in out.split(MARK))
        if not any(form in whole for _, form in wanted):
            assert out == whole, "nothing else is touched"


@given(st.binary(max_size=3000), st.lists(st.integers(1, 50), max_size=40))
@example(bytes(3000), [1] * 40)
def test_binary_output_passes_as_it_is(data: bytes, sizes: list[int]) -> None:
    with live(b"\x00\x01\x02\xff-not-in-there-at-all"):
        scrubber, out, place = Scrubber(), b"", 0
        for size in sizes:
            out += scrubber.feed(data[place : place + size])
            place += size
        out += scrubber.feed(data[place:]) + scrubber.finish()
    if b"-not-in" not in data:
        assert out == data
