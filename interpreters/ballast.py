"""A little space kept for need: revoking must work on a full disk.

With no free block a WAL database can neither be written nor even opened. The ballast is a small file beside the
vault; it is given up for a change that only narrows access, or to open, and filled again when there is space.
"""

import os
from contextlib import suppress
from pathlib import Path

BALLAST_BYTES = 512 * 1024
ROOM = 8


class Ballast:
    """The file ``<vault>-ballast``."""

    def __init__(self, vault: Path) -> None:
        self._path = vault.with_name(vault.name + "-ballast")

    def keep(self) -> None:
        """Have the ballast, where the disk has plenty of room. Not having it is no error."""
        with suppress(OSError):
            if self._path.exists():
                return
            system = os.statvfs(self._path.parent)
            if system.f_bavail * system.f_frsize < ROOM * BALLAST_BYTES:
                return
            self._fill()

    def _fill(self) -> None:
        descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, bytes(BALLAST_BYTES))
            os.fsync(descriptor)
        except OSError:
            os.unlink(self._path)
            raise
        finally:
            os.close(descriptor)

    def release(self) -> bool:
        """Give the space back; False where there is none to give."""
        try:
            os.unlink(self._path)
        except OSError:
            return False
        return True
