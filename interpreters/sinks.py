"""Audit sinks: where entries go beside the vault. The vault's own log is the source; a sink only follows it.

A sink says which entry it wants next. One that fails stays there and gets the same entries again, so a failure
delays entries and never loses one. Sinks come from the host's configuration, never from data in the vault.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import attrs

from interpreters.files import write_private
from ironsecrets.audit import AuditEntry, decode_entry
from ironsecrets.encoding import as_fields
from ironsecrets.events import LOUD
from ironsecrets.refusals import APPLIED

CHUNK = 500
Read = Callable[[int, int], Iterator[bytes]]


class Sink(Protocol):
    """Somewhere for entries to go, in order, at least once."""

    def position(self) -> int:
        """The number of the entry it wants next."""
        ...

    def deliver(self, start: int, entries: Sequence[bytes]) -> None:
        """Take ``entries``, the first of which is number ``start``. Raising keeps the position."""
        ...


@attrs.frozen(kw_only=True)
class SinkStatus:
    """How far a sink is: ``size - position`` entries behind, and the kind of the last error."""

    name: str
    position: int
    size: int
    error: str | None


def status(sink: Sink, size: int, error: str | None) -> SinkStatus:
    """How far ``sink`` is; one that cannot even say so stands at the beginning."""
    try:
        return SinkStatus(name=type(sink).__name__, position=sink.position(), size=size, error=error)
    except Exception as failed:
        return SinkStatus(name=type(sink).__name__, position=0, size=size, error=error or kind_of(failed))


def kind_of(error: Exception) -> str:
    """The kind of an error, without its text: a sink's error may quote what it was given."""
    return f"{type(error).__module__}.{type(error).__qualname__}"


def pump(sink: Sink, size: int, read: Read) -> str | None:
    """Deliver everything up to ``size``; the kind of the error where the sink failed."""
    try:
        while (start := sink.position()) < size:
            sink.deliver(start, list(read(start, min(size, start + CHUNK))))
            if sink.position() <= start:
                return "the sink took nothing"
    except Exception as error:  # a sink is the host's code: whatever it raises, the vault goes on
        return kind_of(error)
    return None


class Sinks:
    """The sinks of one opened vault, and what went wrong with each."""

    def __init__(self, sinks: Iterable[Sink] = ()) -> None:
        self._sinks = tuple(sinks)
        self._errors: dict[int, str | None] = {}

    def pump(self, size: int, read: Read) -> None:
        """Bring every sink up to ``size``; one that fails stays where it was and is tried again next time."""
        for number, sink in enumerate(self._sinks):
            self._errors[number] = pump(sink, size, read)

    def status(self, size: int) -> tuple[SinkStatus, ...]:
        """How far each sink is, and why it is behind."""
        return tuple(status(sink, size, self._errors.get(number)) for number, sink in enumerate(self._sinks))


class JsonLinesSink:
    """Appends entries to a JSONL file, byte for byte as they were hashed, synced before they count as delivered.

    The file itself says how far it is: it is created with mode 0600, no symbolic link is followed, and a line
    that a crash left half written is cut off.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._position: int | None = None
        self._end = 0

    def position(self) -> int:
        if self._position is None:
            descriptor = self._open()
            try:
                self._position, self._end = _complete_lines(descriptor)
            finally:
                os.close(descriptor)
        return self._position

    def deliver(self, start: int, entries: Sequence[bytes]) -> None:
        descriptor = self._open()
        try:
            if os.fstat(descriptor).st_size < self._end:
                self._position = None
                raise OSError("the file is shorter than it was")
            os.ftruncate(descriptor, self._end)
            os.lseek(descriptor, self._end, os.SEEK_SET)
            data = b"".join(entry + b"\n" for entry in entries)
            written = 0
            while written < len(data):
                written += os.write(descriptor, data[written:])
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._position = start + len(entries)
        self._end += len(data)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self._path, flags, 0o600)


def _complete_lines(descriptor: int) -> tuple[int, int]:
    lines = end = offset = 0
    while chunk := os.pread(descriptor, 1 << 20, offset):
        lines += chunk.count(b"\n")
        if b"\n" in chunk:
            end = offset + chunk.rindex(b"\n") + 1
        offset += len(chunk)
    return lines, end


def _level(entry: AuditEntry) -> int:
    if entry.verdict != APPLIED:
        return logging.WARNING
    return logging.CRITICAL if entry.command.type in LOUD else logging.INFO


class LoggingSink:
    """Forwards entries to Python's ``logging``: applied ones at INFO, refused ones at WARNING, and at CRITICAL what
    somebody should look at now: ``break-glass``, ``seal``, ``unseal``.

    The record's message is the command's type and verdict; ``record.audit`` is the whole entry as plain data.
    With ``position_file`` it goes on over a restart where it stopped; without, it begins at ``position``
    (0: the beginning of the log). A handler that raises gets the same entry again.
    """

    def __init__(
        self,
        logger: logging.Logger | None = None,
        *,
        position: int = 0,
        position_file: str | os.PathLike[str] | None = None,
    ) -> None:
        self._logger = logger or logging.getLogger("ironsecrets.audit")
        self._position = position
        self._file = None if position_file is None else Path(position_file)
        if self._file is not None and self._file.exists():
            self._position = int(self._file.read_text())

    def position(self) -> int:
        return self._position

    def deliver(self, start: int, entries: Sequence[bytes]) -> None:
        try:
            for number, raw in enumerate(entries, start):
                entry = decode_entry(raw).unwrap()
                level = _level(entry)
                extra = {"audit": as_fields(entry)}
                self._logger.log(level, "%s %s", entry.command.type, entry.verdict, extra=extra)
                self._position = number + 1
        finally:
            if self._file is not None:
                write_private(self._file, [str(self._position).encode()])
