"""The stores that ship, as factories of fresh, empty ones."""

import shutil
import tempfile
import weakref
from pathlib import Path

from interpreters.memory_store import MemoryStore
from interpreters.sqlite_store import SqliteStore


def memory() -> MemoryStore:
    """In memory."""
    return MemoryStore()


def sqlite() -> SqliteStore:
    """A SQLite file of its own, which goes when the store does."""
    folder = Path(tempfile.mkdtemp(prefix="ironsecrets-law-"))
    path = folder / "vault.db"
    SqliteStore.create(path)
    store = SqliteStore(path)
    weakref.finalize(store, shutil.rmtree, folder, ignore_errors=True)
    return store
