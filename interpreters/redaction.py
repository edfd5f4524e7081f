"""Redaction: values that this process has opened do not leave in its output by accident.

Whole matches are replaced, and nothing else is touched, so binary output stays as it is. In a stream a value may be
split across writes: the end of what came is held back only as far as it could be the beginning of a value.
"""

from collections.abc import Callable, Sequence

from interpreters.needles import Needle, needles

MARK = b"[redacted]"
PATIENCE = 4
"""So many bytes of a beginning may be shown where a stream pauses; a longer one is held back until more comes."""

Spans = list[tuple[int, int]]


def _spans(data: bytes | bytearray, wanted: Sequence[Needle]) -> Spans:
    found: Spans = []
    for value, form in wanted:
        place = data.find(form)
        while place >= 0:
            # A form that is being wiped is zeros, which many outputs hold.
            if value.wiped:
                break
            found.append((place, place + len(form)))
            place = data.find(form, place + 1)
    merged: Spans = []
    for begin, end in sorted(found):
        if merged and begin < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def _replaced(data: bytes | bytearray, spans: Spans, start: int, stop: int) -> bytes:
    """``data[start:stop]``, with the mark for each span that reaches into it."""
    out, place = bytearray(), start
    for begin, end in spans:
        if end > start and begin < stop:
            out += data[place : max(begin, place)]
            out += MARK
            place = max(place, end)
    return bytes(out + data[place:stop])


def scrub(data: bytes, wanted: Sequence[Needle] | None = None) -> bytes:
    """``data`` without any live value in any of its forms."""
    wanted = needles() if wanted is None else wanted
    spans = _spans(data, wanted)
    return _replaced(data, spans, 0, len(data)) if spans else data


def scrub_text(text: str, wanted: Sequence[Needle] | None = None) -> str:
    """``text`` without any live value in any of its forms."""
    wanted = needles() if wanted is None else wanted
    raw = text.encode("utf-8", "surrogatepass")
    done = scrub(raw, wanted)
    return text if done is raw else done.decode("utf-8", "surrogatepass")


def _begun(data: bytes | bytearray, wanted: Sequence[Needle]) -> int:
    """Where the longest end of ``data`` begins that is the beginning of a form; its length where none is."""
    first = len(data)
    for value, form in wanted:
        if value.wiped:
            continue
        place = data.find(form[:1], max(0, len(data) - len(form) + 1))
        while 0 <= place < first:
            if form[: len(data) - place] == data[place:]:
                first = place
                break
            place = data.find(form[:1], place + 1)
    return first


class Scrubber:
    """Scrubs a stream. What was let out is remembered as far as a value could still reach back into it."""

    def __init__(self, wanted: Callable[[], Sequence[Needle]] = needles) -> None:
        self._wanted = wanted
        self._data = bytearray()
        self._out = 0

    @property
    def held(self) -> int:
        """How many bytes are held back."""
        return len(self._data) - self._out

    def feed(self, data: bytes) -> bytes:
        """What may leave now that ``data`` has come."""
        self._data += data
        wanted = self._wanted()
        return self._let_out(wanted, _begun(self._data, wanted))

    def pause(self) -> bytes:
        """What may leave because nothing comes: a beginning of a few bytes, which would keep people waiting."""
        wanted = self._wanted()
        begun = len(self._data) - _begun(self._data, wanted)
        return self._let_out(wanted, len(self._data)) if self.held and begun < PATIENCE else b""

    def finish(self) -> bytes:
        """The rest: nothing more will come."""
        return self._let_out(self._wanted(), len(self._data))

    def _let_out(self, wanted: Sequence[Needle], stop: int) -> bytes:
        spans = _spans(self._data, wanted)
        stop = max([stop, self._out, *(end for _, end in spans)])
        done = _replaced(self._data, spans, self._out, stop)
        longest = max((len(form) for _, form in wanted), default=1)
        forget = max(0, stop - longest + 1)
        del self._data[:forget]
        self._out = stop - forget
        return done
