"""What a value looks like in output: as it is, in base64, URL-encoded, JSON-escaped, in hex, with other line ends.

Each form is made byte by byte into memory of its own, which is wiped with the value: Python's encoders would leave
copies behind. A value of fewer than 4 bytes is not looked for: it would be found everywhere.
"""

import weakref
from collections.abc import Iterable, Iterator

from interpreters.locked_memory import live_values
from ironsecrets.sensitive import Sensitive, Writable, wipe

SHORTEST, SHORTEST_FORM = 4, 6
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_URL_SAFE = _BASE64[:62] + b"-_"
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ESCAPES = {8: b"\\b", 9: b"\\t", 10: b"\\n", 12: b"\\f", 13: b"\\r", 34: b'\\"', 92: b"\\\\"}

Needle = tuple[Sensitive, Writable]
"""A form to look for, and the value it is of: once that is wiped, the form means nothing."""


def _base64(value: memoryview, before: int, alphabet: bytes) -> bytearray:
    """The characters that ``value`` alone decides, where ``before`` (0 to 2) unknown bytes stand before it."""
    out, bits, held = bytearray(), 0, 0
    for byte in bytes(before):
        bits, held = bits << 8 | byte, held + 8
    for byte in value:
        bits, held = bits << 8 | byte, held + 8
        while held >= 6:
            held -= 6
            out.append(alphabet[bits >> held & 63])
        bits &= (1 << held) - 1
    skip = -(-before * 8 // 6)
    out[:skip] = b""
    return out


def _percent(value: memoryview, safe: bytes, digits: bytes) -> bytearray:
    out = bytearray()
    for byte in value:
        if byte in _UNRESERVED or byte in safe:
            out.append(byte)
        else:
            out += bytes((37, digits[byte >> 4], digits[byte & 15]))
    return out


def _plus(value: memoryview, digits: bytes) -> bytearray:
    """As forms are encoded: a space is a plus sign."""
    out = _percent(value, b" ", digits)
    for place, byte in enumerate(out):
        if byte == 32:
            out[place] = 43
    return out


def _json(value: memoryview, *, ascii_only: bool, slash: bool) -> bytearray:
    out, place = bytearray(), 0
    while place < len(value):
        byte = value[place]
        width = 1 if byte < 0xC0 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
        if byte in _ESCAPES:
            out += _ESCAPES[byte]
        elif byte < 32:
            out += b"\\u%04x" % byte
        elif byte == 47 and slash:
            out += b"\\/"
        elif width > 1 and ascii_only:
            units = bytes(value[place : place + width]).decode("utf-8", "replace").encode("utf-16-be")
            for start in range(0, len(units), 2):
                out += b"\\u%02x%02x" % (units[start], units[start + 1])
        else:
            out += value[place : place + width]
        place += width
    return out


def _hex(value: memoryview, digits: bytes) -> bytearray:
    out = bytearray()
    for byte in value:
        out += bytes((digits[byte >> 4], digits[byte & 15]))
    return out


def _lines(value: memoryview) -> bytearray:
    out = bytearray()
    for byte in value:
        out += b"\r\n" if byte == 10 else bytes((byte,))
    return out


def encoded(value: memoryview) -> Iterator[bytearray]:
    """Every form but the value as it is; some may be equal."""
    for before in range(3):
        yield _base64(value, before, _BASE64)
        yield _base64(value, before, _URL_SAFE)
    for digits in (b"0123456789ABCDEF", b"0123456789abcdef"):
        yield _percent(value, b"", digits)
        yield _percent(value, b"/", digits)
        yield _plus(value, digits)
        yield _hex(value, digits)
    for ascii_only in (True, False):
        for slash in (True, False):
            yield _json(value, ascii_only=ascii_only, slash=slash)
    yield _lines(value)


class Forms:
    """The forms of one value, wiped with it."""

    def __init__(self, value: Sensitive) -> None:
        raw = value.view()
        self.needles: list[Writable] = []
        if len(raw) < SHORTEST or not any(raw):
            return
        self.needles.append(raw)
        for form in encoded(raw):
            if len(form) >= SHORTEST_FORM and all(form != known for known in self.needles):
                self.needles.append(form)
                value.attach(form)
                weakref.finalize(value, wipe, form)
            else:
                wipe(form)


_known: "dict[int, tuple[weakref.ref[Sensitive], Forms]]" = {}


def _forms(value: Sensitive) -> Forms:
    found = _known.get(id(value))
    if found is None or found[0]() is not value:
        key = id(value)
        forms = Forms(value)
        # The first needle is the value itself: a strong reference to its memory, never to the value.
        _known[key] = (weakref.ref(value), forms)
        weakref.finalize(value, _known.pop, key, None)
        return forms
    return found[1]


def needles(values: Iterable[Sensitive] | None = None) -> list[Needle]:
    """What to look for, the longest first: the forms of ``values`` (None: of every value this process has opened)."""
    found = [
        (value, form)
        for value in (live_values() if values is None else values)
        if not value.wiped
        for form in _forms(value).needles
    ]
    return sorted(found, key=lambda needle: len(needle[1]), reverse=True)
