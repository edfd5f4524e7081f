"""Child processes: their environment, and signals that are meant for them."""

import os
import signal
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType

FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGALRM")
OWN = (b"IRONSECRETS_", b"_IRONSECRETS_")
KEYS = frozenset({b"IRON_SECRETS_MASTER_KEY", b"IC_TOKEN_SECRET", b"IP_TOKEN_KEY"})
FROM_TERMINAL = frozenset({"SIGINT", "SIGQUIT", "SIGWINCH"})


def child_environment(base: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """``base`` without the vault's own variables, and without the keys with which a child could make tokens."""
    return {k: v for k, v in base.items() if not k.startswith(OWN) and k not in KEYS}


class Forward:
    """Sends on to the child what this process gets, also what came before the child was there."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self.seen: set[int] = set()

    def __call__(self, child: "subprocess.Popen[bytes]") -> None:
        self._child = child
        while self._early:
            self._send(self._early.pop(0))

    def handle(self, number: int, frame: FrameType | None) -> None:
        self.seen.add(number)
        if self._child is None:
            self._early.append(number)
        else:
            self._send(number)

    def _send(self, number: int) -> None:
        # A terminal sends these to the whole foreground group, so the child has it already.
        if signal.Signals(number).name in FROM_TERMINAL and _in_foreground():
            return
        if self._child is not None:
            with suppress(ProcessLookupError):
                self._child.send_signal(number)


def _in_foreground() -> bool:
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


@contextmanager
def forwarding() -> Generator[Forward]:
    """Forward signals while the ``with`` lasts; call what it gives with the child."""
    forward = Forward()
    numbers = [getattr(signal, name) for name in FORWARDED if hasattr(signal, name)]
    before = {number: signal.signal(number, forward.handle) for number in numbers}
    try:
        yield forward
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
