"""Memory for values that are in use: locked, out of core dumps, gone in forked children, as far as the system has it.

Each value has pages of its own: ``mlock`` keeps them out of swap, ``MADV_DONTDUMP`` out of core dumps, and
``MADV_WIPEONFORK`` gives a forked child zeros. What the system refuses is left out and can be asked for:
:func:`protections`. Elsewhere than on Linux a value may have none of the three, and is wiped all the same.
"""

import ctypes
import mmap
import weakref
from typing import Literal

from ironsecrets.sensitive import Sensitive, wipe

Protection = Literal["locked", "not-dumped", "wiped-on-fork"]
_WIPEONFORK = 18
_FLAGS = getattr(mmap, "MAP_PRIVATE", 0) | getattr(mmap, "MAP_ANONYMOUS", 0)
_libc = ctypes.CDLL(None, use_errno=True)


class Pages(mmap.mmap):
    """Pages of our own, and how they are protected."""

    protections: frozenset[Protection] = frozenset()


def allocate(size: int) -> memoryview:
    """``size`` bytes of protected memory."""
    try:
        pages = Pages(-1, max(size, 1), flags=_FLAGS)
    except OSError:
        return memoryview(bytearray(size))
    done: set[Protection] = set()
    if _lock(pages):
        done.add("locked")
    if _advise(pages, getattr(mmap, "MADV_DONTDUMP", None)):
        done.add("not-dumped")
    if _advise(pages, _WIPEONFORK if hasattr(mmap, "MADV_DONTDUMP") else None):
        done.add("wiped-on-fork")
    pages.protections = frozenset(done)
    return memoryview(pages)[:size]


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


def guarded(buffer: memoryview | bytearray) -> Sensitive:
    """``buffer`` as a value that is wiped when nobody holds it any more, and when the interpreter ends."""
    value = Sensitive.adopt(buffer)
    weakref.finalize(value, wipe, buffer)
    return value


def copied(value: Sensitive) -> Sensitive:
    """A copy in protected memory of its own."""
    buffer = allocate(len(value))
    buffer[:] = value.view()
    return guarded(buffer)
