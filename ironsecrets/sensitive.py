"""Secret material that does not show itself: redacted by construction, wiped on request."""

import hmac
from collections.abc import Callable
from typing import Any, NoReturn

REDACTED = "<redacted>"


Writable = bytearray | memoryview
"""Memory that can be overwritten: of one dimension, in bytes."""
Allocate = Callable[[int], Writable]
"""Gives so many bytes of writable memory, for a plaintext to be decrypted into."""


def wipe(buffer: Writable) -> None:
    """Overwrite ``buffer`` with zeros, in place."""
    buffer[:] = bytes(len(buffer))


class Sensitive:
    """A plaintext, key or token. Its ``repr``, ``str`` and ``format`` are redacted; pickling and copying refuse.

    It owns a mutable copy of the bytes, so that :meth:`wipe` leaves nothing behind; ``with`` wipes at the end.
    Comparison with another one, a text (as UTF-8) or bytes is in constant time (for equal lengths).
    """

    __slots__ = ("__weakref__", "_attached", "_buffer", "_wiped")
    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __init__(self, value: bytes | bytearray | memoryview | str) -> None:
        self._buffer: Writable = bytearray(value.encode() if isinstance(value, str) else value)
        self._attached: list[Writable] = []
        self._wiped = False

    @classmethod
    def adopt(cls, buffer: Writable) -> "Sensitive":
        """Own ``buffer`` itself instead of a copy."""
        made = cls(b"")
        made._buffer = buffer
        return made

    def view(self) -> memoryview:
        """The bytes themselves, not a copy."""
        return memoryview(self._buffer)

    def bytes(self) -> bytes:
        """A copy as ``bytes``, which Python cannot wipe."""
        return bytes(self._buffer)

    def wipe(self) -> None:
        """Overwrite the bytes with zeros."""
        self._wiped = True
        wipe(self._buffer)
        for form in self._attached:
            wipe(form)

    def attach(self, form: Writable) -> None:
        """Wipe ``form``, another form of the value, whenever this is wiped."""
        self._attached.append(form)

    @property
    def wiped(self) -> bool:
        """Whether :meth:`wipe` was called: the bytes are zeros then, and no value."""
        return self._wiped

    def text(self) -> str:
        """A copy as text (UTF-8), which Python cannot wipe. A ``UnicodeDecodeError`` holds no byte of the value."""
        try:
            return str(self._buffer, "utf-8")
        except UnicodeDecodeError:
            # The exception would carry the whole value.
            raise UnicodeDecodeError("utf-8", b"?", 0, 1, "the value is not UTF-8 text; take it as bytes") from None

    def __len__(self) -> int:
        return len(self._buffer)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return hmac.compare_digest(self._buffer, other.encode("utf-8", "surrogatepass"))
        if isinstance(other, bytes | bytearray):
            return hmac.compare_digest(self._buffer, other)
        return isinstance(other, Sensitive) and hmac.compare_digest(self._buffer, other._buffer)

    def __repr__(self) -> str:
        return f"Sensitive({REDACTED})"

    def __str__(self) -> str:
        return REDACTED

    def __format__(self, spec: str) -> str:
        return REDACTED

    def __enter__(self) -> "Sensitive":
        return self

    def __exit__(self, *_: object) -> None:
        self.wipe()

    def _refuse(self, *_: Any) -> NoReturn:
        raise TypeError("secret material is neither pickled nor copied")

    __reduce_ex__ = __reduce__ = __copy__ = __deepcopy__ = _refuse  # pyright: ignore[reportAssignmentType]
