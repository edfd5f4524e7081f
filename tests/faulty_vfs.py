"""A SQLite VFS whose disk can be full or fail, through APSW."""

from collections.abc import Callable
from typing import Any

import apsw


class FaultyFile(apsw.VFSFile):
    """A file that asks before it writes, syncs or truncates."""

    def __init__(self, vfs: "FaultyVFS", name: Any, flags: list[int]) -> None:
        self._vfs = vfs
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._vfs.check("write", offset + len(data) - super().xFileSize())
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self._vfs.check("sync", 0)
        super().xSync(flags)


# SQLite holds on to a VFS by its address: one that is gone would take the process along.
_living: list[apsw.VFS] = []


class FaultyVFS(apsw.VFS):
    """``check(operation, growth in bytes)`` may raise to make an operation fail."""

    def __init__(self, name: str) -> None:
        self.check: Callable[[str, int], None] = lambda operation, growth: None
        self.name = name
        _living.append(self)
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> FaultyFile:
        return FaultyFile(self, name, flags)
