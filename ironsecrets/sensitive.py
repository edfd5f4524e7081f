"""Secret material that does not show itself: redacted by construction, wiped on request."""

import hmac
from typing import Any, NoReturn

REDACTED = "<redacted>"


def wipe(buffer: bytearray) -> None:
    """Overwrite ``buffer`` with zeros, in place."""
    buffer[:] = bytes(len(buffer))


class Sensitive:
    """A plaintext, key or token. Its ``repr``, ``str`` and ``format`` are redacted; pickling and copying refuse.

    It owns a mutable copy of the bytes, so that :meth:`wipe` leaves nothing behind; ``with`` wipes at the end.
    Comparison is in constant time (for equal lengths) and only between ``Sensitive`` values.
    """

    __slots__ = ("_buffer",)
    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __init__(self, value: bytes | bytearray | memoryview | str) -> None:
        self._buffer = bytearray(value.encode() if isinstance(value, str) else value)

    @classmethod
    def adopt(cls, buffer: bytearray) -> "Sensitive":
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
        wipe(self._buffer)

    def __len__(self) -> int:
        return len(self._buffer)

    def __eq__(self, other: object) -> bool:
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
