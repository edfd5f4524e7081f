"""A disk that loses power: an APSW VFS which records what reaches the disk and when it was synced.

Nothing is simulated while a history runs: its operations are recorded, and afterwards the disk can be shown as it may
look after a power loss at any of them. Whatever was written to a file and not synced since is kept apart: any subset
of it survives, each write whole or torn at sector bounds. A new file's name survives with the file's first sync, a
second name with the folder's.
"""

import contextlib
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import apsw
import attrs

SECTOR = 512
Kind = Literal["write", "truncate", "sync", "create", "delete", "link", "sync-folder"]


@attrs.frozen
class Operation:
    """One operation on one file, by its name."""

    kind: Kind
    file: str
    offset: int = 0
    data: bytes = b""
    other: str = ""


@attrs.define
class Recorder:
    """What reached the disk, in order."""

    operations: list[Operation] = attrs.field(factory=list[Operation])
    on: bool = True

    def record(self, operation: Operation) -> None:
        if self.on:
            self.operations.append(operation)

    def __len__(self) -> int:
        return len(self.operations)


class _File(apsw.VFSFile):
    def __init__(self, recorder: Recorder, name: Any, flags: list[int]) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self._recorder, self._name = recorder, Path(path).name
        created = not Path(path).exists()
        super().__init__("unix", name, flags)
        if created:
            recorder.record(Operation("create", self._name))

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._recorder.record(Operation("write", self._name, offset, bytes(data)))

    def xTruncate(self, size: int) -> None:
        super().xTruncate(size)
        self._recorder.record(Operation("truncate", self._name, size))

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        self._recorder.record(Operation("sync", self._name))


# SQLite holds on to a VFS by its address: one that is gone would take the process along.
_living: list[apsw.VFS] = []


class RecordingVFS(apsw.VFS):
    """Records into ``recorder``, over the system's own VFS."""

    def __init__(self, name: str, recorder: Recorder) -> None:
        self._recorder = recorder
        self.name = name
        _living.append(self)
        super().__init__(name, "unix")

    def xOpen(self, name: Any, flags: list[int]) -> _File:
        return _File(self._recorder, name, flags)

    def xDelete(self, name: str, syncdir: bool) -> None:
        super().xDelete(name, syncdir)
        self._recorder.record(Operation("delete", Path(name).name, int(syncdir)))


@contextlib.contextmanager
def everything(recorder: Recorder, folder: Path) -> Iterator[None]:
    """Record what whoever asks for no VFS does through SQLite, and what goes past it: names, and syncs of files."""
    vfs = RecordingVFS(f"everything{len(_living)}", recorder)
    before, real = apsw.vfs_names()[0], {name: getattr(os, name) for name in ("link", "unlink", "fsync")}

    def here(path: Any) -> str | None:
        return Path(path).name if Path(path).parent == folder else None

    def told(name: str, of: Callable[..., Operation | None]) -> None:
        def wrapped(*arguments: Any) -> None:
            operation = of(*arguments)
            real[name](*arguments)
            if operation is not None:
                recorder.record(operation)

        setattr(os, name, wrapped)

    def linked(old: Any, new: Any) -> Operation | None:
        return None if here(new) is None else Operation("link", str(here(old)), other=str(here(new)))

    def unlinked(path: Any) -> Operation | None:
        return None if here(path) is None else Operation("delete", str(here(path)))

    def synced(descriptor: int) -> Operation | None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if path == str(folder):
            return Operation("sync-folder", "")
        return None if here(path) is None else Operation("sync", str(here(path)))

    told("link", linked)
    told("unlink", unlinked)
    told("fsync", synced)
    apsw.set_default_vfs(vfs.name)
    try:
        yield
    finally:
        apsw.set_default_vfs(before)
        for name, function in real.items():
            setattr(os, name, function)


Disk = dict[str, bytes]


@attrs.define
class Machine:
    """The disk while a recording is played: what is synced, and what may or may not have got there."""

    synced: dict[str, bytearray]
    loose: dict[str, list[Operation]] = attrs.field(factory=dict[str, list[Operation]])
    nameless: set[str] = attrs.field(factory=set[str])
    undead: dict[str, bytearray] = attrs.field(factory=dict[str, bytearray])

    @classmethod
    def of(cls, disk: Disk) -> "Machine":
        """A machine whose disk was synced as a whole."""
        return cls({name: bytearray(content) for name, content in disk.items()})

    def play(self, operation: Operation) -> None:
        """The next operation of the recording."""
        name = operation.file
        match operation.kind:
            case "create":
                self.synced[name] = bytearray()
                self.loose[name] = []
                self.nameless.add(name)
            case "delete":
                gone = self.synced.pop(name, bytearray())
                self.loose.pop(name, None)
                self.nameless.discard(name)
                if not operation.offset:
                    self.undead[name] = gone
            case "link":
                # One file by two names: it is not written to after this.
                self.synced[operation.other] = bytearray(self.synced[name])
                self.loose[operation.other] = list(self.loose.get(name, []))
                self.nameless.add(operation.other)
            case "sync-folder":
                self.nameless.clear()
                self.undead.clear()
            case "sync":
                for loose in self.loose.pop(name, []):
                    _apply(self.synced[name], loose, None)
                self.nameless.discard(name)
            case _:
                if name not in self.synced:
                    self.synced[name] = bytearray()
                    self.nameless.add(name)
                self.loose.setdefault(name, []).append(operation)

    def lost(self, chance: random.Random) -> Disk:
        """The disk after power is lost now: one of the ways that it may look."""
        disk = {name: bytes(content) for name, content in self.undead.items() if chance.random() < 0.5}
        survival = chance.choice((0.0, 0.5, 0.9, 1.0))
        for name, content in self.synced.items():
            if name in self.nameless and chance.random() < 0.3:
                continue
            image = bytearray(content)
            loose = self.loose.get(name, [])
            if chance.random() < 0.3:
                # Written back in another order: what came later lies under what came before.
                loose = chance.sample(loose, len(loose))
            for operation in loose:
                if chance.random() < survival:
                    _apply(image, operation, chance if chance.random() < 0.5 else None)
            disk[name] = bytes(image)
        return disk


def _apply(image: bytearray, operation: Operation, torn: random.Random | None) -> None:
    if operation.kind == "truncate":
        del image[operation.offset :]
        image.extend(bytes(operation.offset - len(image)))
        return
    end = operation.offset + len(operation.data)
    if len(image) < end:
        image.extend(bytes(end - len(image)))
    at = operation.offset
    while at < end:
        until = min(end, (at // SECTOR + 1) * SECTOR)
        if torn is None or torn.random() < 0.5:
            image[at:until] = operation.data[at - operation.offset : until - operation.offset]
        at = until


def losses(
    before: Disk, operations: list[Operation], chance: random.Random, *, points: list[int], each: int
) -> Iterator[tuple[int, Disk]]:
    """Disks after a loss of power just before each of these operations (by number), ``each`` of them a point."""
    machine, wanted = Machine.of(before), iter(sorted(points))
    point = next(wanted, None)
    for number in range(len(operations) + 1):
        while point == number:
            for _ in range(each):
                yield number, machine.lost(chance)
            point = next(wanted, None)
        if number < len(operations):
            machine.play(operations[number])


def written(disk: Disk, folder: Path) -> None:
    """Put a disk into an empty folder."""
    for name, content in disk.items():
        if not name.endswith("-shm"):
            (folder / name).write_bytes(content)


def read(folder: Path) -> Disk:
    """The disk as it is, for a recording that begins now."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.endswith("-shm")}
