"""A vault's file as a file: looked at, copied, given its name. Never while SQLite has it open in this process: closing
a descriptor of Python's own would drop SQLite's locks."""

import os
from pathlib import Path

import apsw

from interpreters.sqlite_errors import translated
from interpreters.sqlite_schema import run
from ironsecrets.errors import NotAVault, VaultExists, VaultNotFound


def look(path: Path) -> None:
    """Refuse what cannot be a vault, before SQLite is asked to open it."""
    if not os.path.lexists(path):
        raise VaultNotFound(f"there is no vault at {path}; create one with: ironsecrets --vault {path} init")
    if path.is_dir():
        raise NotAVault(f"{path} is a folder, not a vault file")
    if path.is_symlink() and not path.exists():
        raise VaultNotFound(f"{path} is a symbolic link to nothing")
    if path.stat().st_size == 0:
        raise NotAVault(f"{path} is an empty file, not a vault")


def copied(reader: apsw.Connection, making: Path) -> None:
    """Copy what ``reader`` sees at one moment into a new file, for its owner only."""
    os.close(os.open(making, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    os.chmod(making, 0o600)
    writer = apsw.Connection(str(making), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        run(writer, "PRAGMA synchronous = FULL")
        with writer.backup("main", reader, "main") as pages:
            while not pages.done:
                pages.step(-1)
        run(writer, "PRAGMA journal_mode = WAL")
        writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    finally:
        writer.close()


def publish(making: Path, path: Path) -> None:
    """Give a finished file its name, durably, unless the name was taken meanwhile."""
    with translated(path):
        descriptor = os.open(making, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            os.link(making, path)
        except FileExistsError:
            raise VaultExists(f"{path} exists already; nothing was changed") from None
        except OSError:
            os.rename(making, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
