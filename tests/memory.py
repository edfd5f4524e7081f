"""Looking for a value in a process's own memory."""

import gc

FLIP = bytes(b ^ 0xFF for b in range(256))


def memory_holds(needle: bytearray, *, flipped: bool = False) -> int:
    """How often this process's writable memory holds ``needle``, its own buffer counted.

    With ``flipped`` the needle is given with every bit flipped, and so is in no copy of its own.
    """
    gc.collect()
    found = 0
    key = bytes(needle) if flipped else bytes(needle).translate(FLIP)
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", buffering=0) as memory:
        for line in maps:
            fields = line.split()
            if not fields[1].startswith("rw") or line.rstrip().endswith(("[vvar]", "[vsyscall]")):
                continue
            low, high = (int(part, 16) for part in fields[0].split("-"))
            found += _in_region(memory, low, high, key)
    return found


def _in_region(memory, low: int, high: int, key: bytes) -> int:
    found, offset, tail = 0, low, b""
    while offset < high:
        try:
            memory.seek(offset)
            chunk = memory.read(min(1 << 20, high - offset))
        except (OSError, ValueError, OverflowError):
            break
        # Chunks overlap, or a needle across two of them would be missed; read flipped, no copy of it is made here.
        window = tail + chunk.translate(FLIP)
        found += window.count(key)
        tail = window[-(len(key) - 1) :]
        found -= tail.count(key)
        offset += len(chunk)
    return found
