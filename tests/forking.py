"""The command without the half second in which Python loads it: a server that has loaded everything, and forks.

What is forked is a process like any other: in a session, a folder and an environment of its own, with its own
descriptors, umask and exit status. Whatever is decided before ``main`` (locale, encodings) it shares with the tests.
"""

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BEFORE_MAIN = ("LANG", "LC_", "LD_", "MALLOC", "PYTHON")
_LIMIT = 1 << 20


class ForkServer:
    """Started with the first command, ended with the tests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def fits(self, environment: Mapping[str, str]) -> bool:
        """Whether this environment is no other than the tests' own in what counts before ``main``."""
        keys = {key for key in (*environment, *os.environ) if key.startswith(BEFORE_MAIN)}
        return all(environment.get(key) == os.environ.get(key) for key in keys)

    def run(
        self, arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str], stdin: bytes, timeout: float
    ) -> tuple[int, bytes, bytes]:
        """The exit status (negative for a signal), and what was printed."""
        with self._lock, contextlib.ExitStack() as stack:
            channel = self._started()
            files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
            files[0].write(stdin)
            files[0].seek(0)
            umask = os.umask(0)
            os.umask(umask)
            told = {"arguments": arguments, "folder": str(folder), "environment": dict(environment), "umask": umask}
            socket.send_fds(channel, [json.dumps(told).encode()], [file.fileno() for file in files])
            channel.settimeout(timeout)
            pid = int(channel.recv(64))
            try:
                status = int(channel.recv(64))
            except TimeoutError:
                os.killpg(pid, signal.SIGKILL)
                channel.recv(64)
                raise subprocess.TimeoutExpired(arguments, timeout) from None
            for file in files[1:]:
                file.seek(0)
            return status, files[1].read(), files[2].read()

    def _started(self) -> socket.socket:
        if self._process is None:
            self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LIMIT)
                command = [sys.executable, "-m", "tests.forking", str(theirs.fileno())]
                root = Path(__file__).parents[1]
                self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], cwd=root)
            atexit.register(self._channel.close)
        return self._channel


def _serve(channel: socket.socket) -> None:
    from interpreters.cli import main

    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, _LIMIT, 3)
        if not message:
            return
        pid = os.fork()
        if pid == 0:
            _be(main, json.loads(message), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        channel.send(str(pid).encode())
        channel.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())


def _be(main: Any, told: dict[str, Any], descriptors: list[int]) -> None:
    status = 1
    try:
        os.setsid()
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        os.closerange(3, 256)
        os.chdir(told["folder"])
        os.umask(told["umask"])
        os.environ.clear()
        os.environ.update(told["environment"])
        sys.argv = ["ironsecrets", *told["arguments"]]
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode) for number, mode in ((0, "r"), (1, "w"), (2, "w")))
        main()
    except SystemExit as done:
        status = done.code if isinstance(done.code, int) else int(done.code is not None)
    finally:
        threading._shutdown()  # type: ignore
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
