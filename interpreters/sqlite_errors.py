"""APSW's and the system's errors, as what they mean to whoever embeds a vault.

Some say less than they seem to: a failed read can come as ``CorruptError`` and too many open files as
``ReadOnlyError``, so no message speaks of tampering or permissions on these alone.
"""

import errno
from pathlib import Path
from types import TracebackType

import apsw

from ironsecrets.errors import IntegrityError, NotAVault, StoreFull, StoreUnavailable, VaultBusy, VaultError


class translated:
    """A ``with`` that turns whatever the store's work raises into one of ours.

    A class, since every use of a lease goes through one: a generator costs twice as much.
    """

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, apsw.Error | OSError | UnicodeDecodeError):
            raise _meaning(error, self._path) from error


def _meaning(error: Exception, path: Path) -> VaultError:
    match error:
        case apsw.NotADBError():
            return NotAVault(f"{path} is not a vault")
        case apsw.BusyError() | apsw.LockedError() | apsw.ProtocolError():
            return VaultBusy(f"{path} is busy: another process holds it; try again")
        case apsw.FullError():
            return full(path)
        case OSError(errno=errno.ENOSPC) | OSError(errno=errno.EDQUOT):
            return full(path)
        case apsw.CorruptError():
            return IntegrityError(f"{path} cannot be read as a database: it is damaged, or the disk failed to read it")
        case UnicodeDecodeError():
            return IntegrityError(f"{path} holds text that is not text")
        case apsw.ReadOnlyError() | apsw.CantOpenError() | apsw.PermissionsError():
            return StoreUnavailable(
                f"{path} cannot be opened for writing; look at its permissions, its folder's, and the open files"
            )
        case OSError():
            return StoreUnavailable(f"{path} cannot be used: {error.strerror or 'input/output error'}")
        case _:
            return StoreUnavailable(f"{path} cannot be used now: {type(error).__name__}; what was acknowledged is safe")


def full(path: Path) -> StoreFull:
    """No space, and what still works without."""
    return StoreFull(f"no space left for {path}; free some and try again (revoking and suspending still work)")
