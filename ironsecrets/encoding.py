"""Bytes that mean one thing only: length-prefixed contexts, canonical JSON, standard base64.

``length_prefixed`` is used for every derivation label and every associated data: naive concatenation collides.
Canonical JSON is UTF-8 with sorted keys and no insignificant whitespace; a text that decodes but is not the
canonical form of what it decodes to is refused, which shuts out duplicate keys, unknown fields and white space.
"""

import base64
import binascii
from typing import Any, TypeVar

import msgspec
from returns.result import Failure, Result, Success

_T = TypeVar("_T")
_EIGHT = (8).to_bytes(4, "big")
_ENCODER = msgspec.json.Encoder(order="sorted")


def length_prefixed(*parts: str | bytes | int) -> bytes:
    """Each part behind its 32-bit big-endian length; integers as 64-bit big-endian, texts as UTF-8."""
    out: list[bytes] = []
    for part in parts:
        if isinstance(part, int):
            out += (_EIGHT, part.to_bytes(8, "big"))
        else:
            raw = part.encode() if isinstance(part, str) else part
            out += (len(raw).to_bytes(4, "big"), raw)
    return b"".join(out)


def canonical(value: object) -> bytes:
    """The canonical JSON of an attrs value or a plain structure."""
    return _ENCODER.encode(value)


def decode_canonical(
    decoder: "msgspec.json.Decoder[_T]", raw: bytes | bytearray, *, limit: int, what: str
) -> Result[_T, str]:
    """``raw`` decoded strictly, or a line that says what is wrong with ``what`` (never the bytes themselves).

    Refuses more than ``limit`` bytes before parsing, nesting beyond the decoder's limit, and every text that is
    not canonical.
    """
    if len(raw) > limit:
        return Failure(f"{what} is larger than {limit} bytes")
    try:
        value = decoder.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError):
        return Failure(f"{what} is malformed")
    if canonical(value) != raw:
        return Failure(f"{what} is not in canonical form")
    return Success(value)


def to_base64(raw: bytes | bytearray) -> str:
    """RFC 4648 section 4, with padding."""
    return base64.b64encode(raw).decode()


def from_base64(text: str) -> Result[bytes, str]:
    """Strict inverse of :func:`to_base64`: no other text decodes to the same bytes."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return Failure("not base64")
    return Success(raw) if to_base64(raw) == text else Failure("not canonical base64")


def as_fields(value: Any) -> dict[str, Any]:
    """A frozen value as plain JSON-like data, for tables and ``--json``."""
    return msgspec.to_builtins(value)
