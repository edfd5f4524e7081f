"""Looking for a value in a process's own memory, without leaving copies of it there."""

import gc
from typing import BinaryIO

FLIP = bytes(b ^ 0xFF for b in range(256))
CHUNK = 1 << 20


def memory_holds(needle: bytearray, *, flipped: bool = False) -> int:
    """How often this process's writable memory holds ``needle``, its own buffer counted.

    With ``flipped`` the needle is given with every bit flipped, and so is in no copy of its own.
    """
    gc.collect()
    found = 0
    key = needle if flipped else needle.translate(FLIP)
    read = bytearray(CHUNK)
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", buffering=0) as memory:
        for line in maps:
            fields = line.split()
            if not fields[1].startswith("rw") or line.rstrip().endswith(("[vvar]", "[vsyscall]")):
                continue
            low, high = (int(part, 16) for part in fields[0].split("-"))
            found += _in_region(memory, low, high, key, read)
    return found


def _in_region(memory: BinaryIO, low: int, high: int, key: bytearray, read: bytearray) -> int:
    """What is read, and its flipped image, may hold the value: both are wiped before the next read, or a later look
    would find what an earlier one has left."""
    found, offset = 0, low
    while offset < high:
        try:
            memory.seek(offset)
            count = memory.readinto(memoryview(read)[: min(CHUNK, high - offset)])  # pyright: ignore
        except (OSError, ValueError, OverflowError):
            return found
        image = read.translate(FLIP)
        found += image.count(key)
        for buffer in (image, read):
            buffer[:] = bytes(len(buffer))
        # Reads overlap by less than a needle, so that none is missed and none counted twice.
        offset += count if count < CHUNK else count - len(key) + 1
    return found
