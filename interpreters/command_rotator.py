"""A rotator that is a program: the step is its last argument, the values come on its stdin, never otherwise.

stdin is one JSON object: ``step``, ``name``, ``environment``, ``rotation``, ``current`` and ``pending`` (texts, or
null where there is none or it is not UTF-8), ``current_base64`` and ``pending_base64``. At ``create`` its stdout
is the new value, or nothing for a generated one. All other output is thrown away unread, and exit status 0 says
that the step is done.
"""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Annotated, Literal

import attrs
import msgspec
from returns.result import Success

from interpreters.processes import child_environment
from interpreters.rotators import TIME_LIMIT, NewValue, Rotator, StepFailed, Task
from ironsecrets.encoding import from_base64, to_base64
from ironsecrets.sealing import VALUE_LIMIT
from ironsecrets.sensitive import Sensitive

OUTPUT_LIMIT = 2 * VALUE_LIMIT
CHUNK = 65536


class _Output(msgspec.Struct, forbid_unknown_fields=True):
    value: str | None = None
    value_base64: str | None = None
    expires_in: Annotated[int, msgspec.Meta(ge=1, le=36500 * 86400)] | None = None


@attrs.frozen(kw_only=True)
class CommandRotator(Rotator):
    """``command`` and its arguments, run without a shell and without the vault's own variables.

    ``output`` says what stdout is at ``create``: ``value``, the value itself (one final newline left out), or
    ``json``: ``{"value": TEXT}`` or ``{"value_base64": TEXT}``, with ``"expires_in": SECONDS`` if it ends.
    """

    command: Sequence[str]
    timeout: timedelta = TIME_LIMIT
    output: Literal["value", "json"] = "value"

    def create(self, task: Task) -> NewValue:
        printed = self._run(task)
        with Sensitive.adopt(printed):
            if not printed:
                return super().create(task)
            if self.output == "json":
                return _decoded(printed)
            return NewValue(value=Sensitive(memoryview(printed)[: len(printed) - printed.endswith(b"\n")]))

    def set(self, task: Task) -> None:
        self._run(task)

    def test(self, task: Task) -> None:
        self._run(task)

    def finish(self, task: Task) -> None:
        self._run(task)

    def abort(self, task: Task) -> None:
        self._run(task)

    def _run(self, task: Task) -> bytearray:
        given = _told(task)
        try:
            process = subprocess.Popen(
                [*self.command, task.step],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if task.step == "create" else subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=child_environment(os.environb),
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise StepFailed("failed", error.strerror or "cannot be run") from None
        try:
            deadline = time.monotonic() + self.timeout.total_seconds()
            printed = _exchanged(process, given, deadline)
            status = process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise StepFailed("timed-out") from None
        finally:
            if process.poll() is None:
                # The whole group, and before its leader is waited for: its number cannot be another's yet.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
        if status != 0:
            Sensitive.adopt(printed).wipe()
            raise StepFailed("failed", f"exit status {status}")
        return printed


def _told(task: Task) -> bytes:
    current = task.current().view()
    pending = task.pending().view() if task.has_pending else None
    told = {
        "step": task.step,
        "name": task.name,
        "environment": task.environment,
        "rotation": task.rotation,
        "current": _text(current),
        "current_base64": to_base64(bytes(current)),
        "pending": _text(pending),
        "pending_base64": None if pending is None else to_base64(bytes(pending)),
    }
    return msgspec.json.encode(told) + b"\n"


def _text(value: memoryview | None) -> str | None:
    try:
        return None if value is None else str(value, "utf-8")
    except UnicodeDecodeError:
        return None


def _exchanged(process: "subprocess.Popen[bytes]", given: bytes, deadline: float) -> bytearray:
    """Give the process its stdin and take its stdout, at most :data:`OUTPUT_LIMIT` bytes, until the deadline."""
    printed, left = bytearray(), memoryview(given)
    with selectors.DefaultSelector() as selector:
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE)
        if process.stdout is not None:
            selector.register(process.stdout, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise subprocess.TimeoutExpired(process.args, 0)
            for key, _ in ready:
                if key.fileobj is process.stdin and process.stdin is not None:
                    try:
                        left = left[os.write(key.fd, left[:CHUNK]) :]
                    except BrokenPipeError:
                        left = left[:0]
                    if not left:
                        selector.unregister(process.stdin)
                        process.stdin.close()
                elif chunk := os.read(key.fd, CHUNK):
                    printed += chunk
                    if len(printed) > OUTPUT_LIMIT:
                        Sensitive.adopt(printed).wipe()
                        raise StepFailed("bad-output", "too long")
                else:
                    selector.unregister(key.fileobj)
    return printed


def _decoded(printed: bytearray) -> NewValue:
    try:
        output = msgspec.json.decode(printed, type=_Output)
    except (msgspec.MsgspecError, ValueError):
        raise StepFailed("bad-output", "not the JSON that was expected") from None
    lasts = None if output.expires_in is None else timedelta(seconds=output.expires_in)
    if output.value is not None and output.value_base64 is None:
        return NewValue(value=Sensitive(output.value), expires_in=lasts)
    if output.value is None and output.value_base64 is not None:
        match from_base64(output.value_base64):
            case Success(value):
                return NewValue(value=Sensitive(value), expires_in=lasts)
            case _:
                raise StepFailed("bad-output", "value_base64 is not base64")
    raise StepFailed("bad-output", "one of value and value_base64 is expected")
