"""A little space kept for need: revoking must work on a full disk.

With no free block a WAL database can neither be written nor even opened. The ballast is a small file beside the
vault; it is given up for a change that only narrows access, or to open, and filled again when there is space.
"""

import os
from contextlib import suppress
from pathlib import Path

BALLAST_BYTES = 512 * 1024
ROOM = 8
STEP = 4096


class Ballast:
    """The file ``<vault>-ballast``."""

    def __init__(self, vault: Path, *, wanted: bool = True) -> None:
        self._wanted = wanted
        self._path = Path(f"{vault}-ballast")

    def kept(self) -> bool:
        """Whether it is there."""
        return self._path.exists()

    def keep(self) -> None:
        """Have the ballast, where the disk has plenty of room. Not having it is no error."""
        with suppress(OSError):
            if not self._wanted or self.kept():
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

    def refill(self) -> None:
        """After need: take back what is left of the space, up to the whole, so that the next need finds some."""
        with suppress(OSError):
            descriptor = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            try:
                held = os.fstat(descriptor).st_size
                os.lseek(descriptor, held, os.SEEK_SET)
                while held < BALLAST_BYTES:
                    held += os.write(descriptor, bytes(STEP))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def release(self) -> bool:
        """Give the space back; False where there is none to give."""
        try:
            os.unlink(self._path)
        except OSError:
            return False
        return True
