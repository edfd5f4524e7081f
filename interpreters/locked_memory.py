"""Memory for values that are in use: locked, out of core dumps, gone in forked children, as far as the system has it.

Each value has pages of its own: ``mlock`` keeps them out of swap, ``MADV_DONTDUMP`` out of core dumps, and
``MADV_WIPEONFORK`` gives a forked child zeros. What the system refuses is left out and can be asked for:
:func:`protections`. Elsewhere than on Linux a value may have none of the three, and is wiped all the same.

Protecting pages takes as long as all the cryptography of a lease, so a page that was wiped is used again, unless
somebody still has a view of it.
"""

import atexit
import ctypes
import mmap
import os
import sys
import weakref
from collections.abc import Iterator
from typing import Literal

from ironsecrets.sensitive import Sensitive, wipe

Protection = Literal["locked", "not-dumped", "wiped-on-fork"]
_WIPEONFORK = 18
_FLAGS = getattr(mmap, "MAP_PRIVATE", 0) | getattr(mmap, "MAP_ANONYMOUS", 0)
_KEPT = 64
_libc = ctypes.CDLL(None, use_errno=True)


class Pages(mmap.mmap):
    """Pages of our own, and how they are protected."""

    protections: frozenset[Protection] = frozenset()


_free: list[Pages] = []
# A forked child does not have its parent's locks.
os.register_at_fork(after_in_child=_free.clear)


def allocate(size: int) -> memoryview:
    """``size`` bytes of protected memory, zeros."""
    while size <= mmap.PAGESIZE:
        try:
            pages = _free.pop()
        except IndexError:
            break
        # This name and the argument: nobody has a view, who would see the next value.
        if sys.getrefcount(pages) == 2:
            return memoryview(pages)[:size]
    return memoryview(_protected(size))[:size]


def _protected(size: int) -> Pages | bytearray:
    try:
        pages = Pages(-1, max(size, mmap.PAGESIZE), flags=_FLAGS)
    except OSError:
        return bytearray(size)
    done: set[Protection] = set()
    if _lock(pages):
        done.add("locked")
    if _advise(pages, getattr(mmap, "MADV_DONTDUMP", None)):
        done.add("not-dumped")
    if _advise(pages, _WIPEONFORK if hasattr(mmap, "MADV_DONTDUMP") else None):
        done.add("wiped-on-fork")
    pages.protections = frozenset(done)
    return pages


def _lock(pages: mmap.mmap) -> bool:
    try:
        start = ctypes.c_char.from_buffer(pages)
        return _libc.mlock(ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(len(pages))) == 0
    except (AttributeError, OSError):
        return False


def _advise(pages: mmap.mmap, advice: int | None) -> bool:
    if advice is None:
        return False
    try:
        pages.madvise(advice)
    except OSError:
        return False
    return True


def protections(value: Sensitive) -> frozenset[Protection]:
    """How the memory of ``value`` is protected."""
    owner = value.view().obj
    return owner.protections if isinstance(owner, Pages) else frozenset()


class _Guard(weakref.ref[Sensitive]):
    """Outlives a value by as long as it takes to wipe it."""

    __slots__ = ("buffer",)
    buffer: memoryview | bytearray


_guards: dict[int, _Guard] = {}


def guarded(buffer: memoryview | bytearray) -> Sensitive:
    """``buffer`` as a value that is wiped when nobody holds it any more, and when the interpreter ends."""
    value = Sensitive.adopt(buffer)
    guard = _Guard(value, _left)
    guard.buffer = buffer
    _guards[id(guard)] = guard
    return value


def live_values() -> Iterator[Sensitive]:
    """Every value that this process has opened and not wiped, of whatever vault."""
    values = (guard() for guard in list(_guards.values()))
    return (value for value in values if value is not None and not value.wiped)


def _left(guard: weakref.ref[Sensitive]) -> None:
    left = _guards.pop(id(guard), None)
    if left is None:
        return
    wipe(left.buffer)
    owner = left.buffer.obj if isinstance(left.buffer, memoryview) else None
    if isinstance(owner, Pages) and len(owner) == mmap.PAGESIZE and len(_free) < _KEPT:
        _free.append(owner)


@atexit.register
def _wipe_all() -> None:
    for guard in list(_guards.values()):
        wipe(guard.buffer)


def copied(value: Sensitive) -> Sensitive:
    """A copy in protected memory of its own."""
    buffer = allocate(len(value))
    buffer[:] = value.view()
    return guarded(buffer)
