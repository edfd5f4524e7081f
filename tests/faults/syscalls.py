"""SQLite's own system calls, made to fail: its built-in VFS lets each be replaced, so locks, ``mmap`` and the ``-shm``
file are reached too."""

import ctypes
import errno
from collections.abc import Callable, Generator
from contextlib import contextmanager

import apsw
import attrs

CALLS = {
    "open": 3,
    "close": 1,
    "access": 2,
    "stat": 2,
    "fstat": 2,
    "ftruncate": 2,
    "fcntl": 3,
    "pread64": 4,
    "pwrite64": 4,
    "fchmod": 2,
    "unlink": 1,
    "openDirectory": 2,
    "mmap": 6,
    "munmap": 2,
}
"""Name to how many arguments it takes, each the size of a register."""


@attrs.define
class Plan:
    """The calls so far, and which are to fail: the ``first`` of ``call``, or all from it on.

    ``short`` gives half of what was asked for instead, as POSIX allows. A device that says that a file ends where it
    does not is another matter: SQLite takes what is missing for zeros, and only the seals find it (`docs/faults.md`).
    """

    call: str
    first: int
    code: int
    persistent: bool
    short: bool = False
    made: int = 0
    failed: int = 0

    def fails(self, call: str) -> bool:
        if call != self.call:
            return False
        self.made += 1
        wrong = self.made == self.first or (self.persistent and self.made > self.first)
        self.failed += wrong
        return wrong


_plan: Plan | None = None
_kept: list[object] = []


def _replaced(name: str, count: int, pointer: int) -> Callable[..., int]:
    # A pointer or a count: ssize_t holds both, and -1.
    prototype = ctypes.CFUNCTYPE(ctypes.c_ssize_t, *[ctypes.c_ssize_t] * count, use_errno=True)
    real = prototype(pointer)

    def call(*arguments: int) -> int:
        plan = _plan
        if plan is not None and plan.fails(name):
            if plan.short and name in ("pread64", "pwrite64"):
                return real(arguments[0], arguments[1], max(1, arguments[2] // 2), arguments[3])
            ctypes.set_errno(plan.code)
            return -1
        return real(*arguments)

    made = prototype(call)
    _kept.append((made, real))
    return made


@contextmanager
def failing(plan: Plan) -> Generator[Plan]:
    """SQLite's system calls under ``plan``, for every connection that uses its built-in VFS."""
    global _plan
    unix = apsw.VFS(f"unix{len(_kept)}", "unix", 1)
    pointer = unix.xGetSystemCall(plan.call)
    assert pointer, plan.call
    made = _replaced(plan.call, CALLS[plan.call], pointer)
    unix.xSetSystemCall(plan.call, ctypes.cast(made, ctypes.c_void_p).value)
    _plan = plan
    try:
        yield plan
    finally:
        _plan = None
        unix.xSetSystemCall(plan.call, 0)
        unix.unregister()


CODES = {
    "EIO": errno.EIO,
    "ENOSPC": errno.ENOSPC,
    "EACCES": errno.EACCES,
}
