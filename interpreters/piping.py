"""A child's output on its way through us, scrubbed of the values it was given."""

import os
import select
import subprocess
import threading
from collections.abc import Callable, Sequence

from interpreters.needles import Needle
from interpreters.redaction import Scrubber
from interpreters.threads import quiet_thread

CHUNK = 65536
PAUSE_MS = 50
LINGER = 2.0
"""Seconds that output is waited for after the child has ended: somebody it started may hold the pipe open."""


class RedactedOutput:
    """Passes a child's stdout and stderr on, byte for byte but for live values, each as soon as it comes."""

    def __init__(self, wanted: Callable[[], Sequence[Needle]]) -> None:
        self._wanted = wanted
        self._threads: list[threading.Thread] = []

    def attach(self, child: "subprocess.Popen[bytes]") -> None:
        """Pass on what ``child`` writes; it was started with both streams as pipes."""
        for pipe, target in ((child.stdout, 1), (child.stderr, 2)):
            if pipe is not None:
                source = os.dup(pipe.fileno())
                pipe.close()
                self._threads.append(quiet_thread(self._passing(source, target), "ironsecrets output"))

    def drain(self) -> None:
        """Wait until everything was passed on."""
        for thread in self._threads:
            thread.join(LINGER)
        self._threads.clear()

    def _passing(self, source: int, target: int) -> Callable[[], None]:
        return lambda: self._pass_on(source, target)

    def _pass_on(self, source: int, target: int) -> None:
        scrubber = Scrubber(self._wanted)
        waiting = select.poll()
        waiting.register(source, select.POLLIN)
        try:
            while True:
                if scrubber.held and not waiting.poll(PAUSE_MS):
                    _write(target, scrubber.pause())
                    waiting.poll()
                data = os.read(source, CHUNK)
                if not data:
                    break
                _write(target, scrubber.feed(data))
            _write(target, scrubber.finish())
        except OSError:
            # Nobody reads our output any more: neither does anybody the child's.
            pass
        finally:
            os.close(source)


def _write(target: int, data: bytes) -> None:
    while data:
        data = data[os.write(target, data) :]
