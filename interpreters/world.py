"""Time and randomness, where the core may not look for them itself."""

import os
import time
from typing import Protocol

import attrs


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> int:
        """Microseconds since the Unix epoch, UTC."""
        ...


class Entropy(Protocol):
    """Draws random bytes."""

    def draw(self, count: int) -> bytes:
        """``count`` bytes that nobody can predict."""
        ...


@attrs.frozen
class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        return time.time_ns() // 1000


@attrs.frozen
class SystemEntropy:
    """The operating system's random source."""

    def draw(self, count: int) -> bytes:
        return os.urandom(count)
