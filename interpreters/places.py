"""Where a vault is: a file, or a vault of a PostgreSQL database. What stands there, and how something comes there."""

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interpreters.files import make_folder
from interpreters.postgres import needed
from interpreters.postgres.location import Location, is_location, parse_location
from interpreters.sqlite_files import publish
from interpreters.sqlite_store import BUSY_TIMEOUT, SqliteStore
from interpreters.store import Batch, Store
from ironsecrets.errors import StoreUnavailable, VaultExists, VaultNotFound

if TYPE_CHECKING:
    from interpreters.postgres.store import PostgresStore

Place = Path | Location


def parse_place(given: str | os.PathLike[str]) -> Place:
    """A path, or the location that a ``postgresql://`` URL names."""
    text = os.fspath(given)
    return parse_location(text) if is_location(text) else Path(text)


def open_store(place: Place, *, patience: float = BUSY_TIMEOUT) -> Store:
    """The store of the vault there; :class:`VaultNotFound` where there is none."""
    if isinstance(place, Path):
        return SqliteStore(place, busy_timeout=patience)
    store = _postgres(place, patience)
    try:
        if not store.exists():
            raise VaultNotFound(f"there is no vault at {place}; create one with: ironsecrets --vault URL init")
    except BaseException:
        store.close()
        raise
    return store


def check_free(place: Place) -> None:
    """:class:`VaultExists` where there is something already."""
    there = os.path.lexists(place) if isinstance(place, Path) else _module().PostgresStore.taken(place)
    if there:
        raise VaultExists(f"{place} exists already; nothing was changed")


def make_room(place: Place) -> None:
    """Make the folder that a file is to stand in, for its owner only."""
    if isinstance(place, Path) and not place.parent.exists():
        make_folder(place.parent)


def create(place: Place, first: Batch) -> None:
    """Make a vault with ``first`` in it. It appears whole or not at all."""
    if isinstance(place, Path):
        SqliteStore.create(place, first)
        return
    store = _made(place)
    try:
        if store.exists() or not store.commit(first):
            raise VaultExists(f"{place} exists already; nothing was changed")
    finally:
        store.close()


@contextmanager
def arriving(place: Place) -> Generator[Store]:
    """An empty store for a vault to arrive in. At the end of the ``with`` it stands there whole, or not at all."""
    if isinstance(place, Path):
        with making(place) as file:
            SqliteStore.create(file)
            store = SqliteStore(file, ballast=False)
            try:
                yield store
            finally:
                store.close()
        return
    store = _made(place)
    try:
        with store.whole():
            if store.exists():
                raise VaultExists(f"{place} exists already; nothing was changed")
            yield store
    finally:
        store.close()


@contextmanager
def making(target: Path) -> Generator[Path]:
    """A name beside ``target`` for a file that gets the right name at the end of the ``with``, or goes."""
    check_free(target)
    if not target.parent.is_dir():
        raise StoreUnavailable(f"the folder {target.parent} does not exist; make it first")
    file = target.with_name(f".{target.name}.{os.urandom(6).hex()}.new")
    try:
        yield file
        publish(file, target)
    finally:
        gone(file)


def gone(file: Path) -> None:
    """Remove a vault's file with what SQLite and we keep beside it."""
    for suffix in ("", "-wal", "-shm", "-journal", "-ballast"):
        with suppress(OSError):
            os.unlink(f"{file}{suffix}")


def _made(location: Location) -> "PostgresStore":
    """The store, and its tables made first where they are missing: their owner may."""
    _module().PostgresStore.prepare(location)
    return _postgres(location, BUSY_TIMEOUT)


def _postgres(location: Location, patience: float) -> "PostgresStore":
    return _module().PostgresStore(location, patience=patience)


def _module() -> Any:
    return needed("interpreters.postgres.store")
