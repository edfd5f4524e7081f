"""The tables of a vault file, and how an older file becomes today's.

``user_version`` counts the migrations a file has been through; migration n takes it from n to n + 1. The schema
of an opened file must be, text for text, what the same migrations make of an empty database: a planted trigger,
view, index or table is found before anything is read.
"""

from collections.abc import Sequence
from typing import Any

import apsw

from ironsecrets.errors import IntegrityError, NewerFormat, NotAVault

APPLICATION_ID = 0x49524E53

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE header (id INTEGER PRIMARY KEY CHECK (id = 1), body BLOB NOT NULL, mac BLOB NOT NULL) STRICT;
    CREATE TABLE head (id INTEGER PRIMARY KEY CHECK (id = 1), body BLOB NOT NULL) STRICT;
    CREATE TABLE snapshot (id INTEGER PRIMARY KEY CHECK (id = 1), sealed BLOB NOT NULL) STRICT;
    CREATE TABLE entries (seq INTEGER PRIMARY KEY, request BLOB NOT NULL UNIQUE, sealed BLOB NOT NULL) STRICT;
    CREATE TABLE records (secret TEXT NOT NULL, version INTEGER NOT NULL, epoch INTEGER NOT NULL,
        wrap BLOB NOT NULL, body BLOB NOT NULL, PRIMARY KEY (secret, version)) STRICT;
    CREATE TABLE base (id INTEGER PRIMARY KEY CHECK (id = 1), sealed BLOB NOT NULL) STRICT;
    CREATE TABLE archives (start INTEGER PRIMARY KEY, stop INTEGER NOT NULL, leaves BLOB NOT NULL) STRICT;
    """,
)

_SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name"


def run(connection: Any, sql: str, parameters: Sequence[object] = ()) -> list[Any]:
    """Run one statement (or a script without parameters) and take all its rows at once."""
    return connection.execute(sql, tuple(parameters) or None).fetchall()


def harden(connection: apsw.Connection, busy_timeout: float) -> None:
    """What holds for one connection only and must be set on each."""
    connection.set_busy_timeout(int(busy_timeout * 1000))
    for option, value in (
        (apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0),
        (apsw.SQLITE_DBCONFIG_ENABLE_VIEW, 0),
        (apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0),
        (apsw.SQLITE_DBCONFIG_DEFENSIVE, 1),
        (apsw.SQLITE_DBCONFIG_DQS_DML, 0),
        (apsw.SQLITE_DBCONFIG_DQS_DDL, 0),
    ):
        connection.config(option, value)
    for name, setting in (
        ("cell_size_check", "ON"),
        ("fullfsync", "ON"),
        ("checkpoint_fullfsync", "ON"),
        ("synchronous", "FULL"),
        ("secure_delete", "ON"),
        ("temp_store", "MEMORY"),
        ("mmap_size", "0"),
        # KiB, used as far as there are pages: a rotation of many keys updates records all over the file.
        ("cache_size", "-32768"),
        ("wal_autocheckpoint", "0"),
    ):
        run(connection, f"PRAGMA {name} = {setting}")


def migrate(connection: apsw.Connection, migrations: tuple[str, ...] = MIGRATIONS) -> None:
    """Bring a file forward to today's version, all of it or nothing."""
    if _version(connection) == len(migrations):
        return
    run(connection, "BEGIN IMMEDIATE")
    try:
        for script in migrations[_version(connection) :]:
            run(connection, script)
        run(connection, f"PRAGMA user_version = {len(migrations)}")
        run(connection, "COMMIT")
    except BaseException:
        if connection.in_transaction:
            run(connection, "ROLLBACK")
        raise


def check_identity(connection: apsw.Connection, path: str, migrations: tuple[str, ...] = MIGRATIONS) -> None:
    """Refuse a database that is no vault, one from a newer version, and one with anything planted in it."""
    if run(connection, "PRAGMA application_id") != [(APPLICATION_ID,)]:
        raise NotAVault(f"{path} is a database, but not a vault")
    version = _version(connection)
    if version > len(migrations):
        raise NewerFormat(
            f"{path} was written by a newer version (database format {version}, this one knows"
            f" {len(migrations)}); upgrade ironsecrets"
        )
    expected = apsw.Connection(":memory:")
    for script in migrations[:version]:
        run(expected, script)
    wanted = run(expected, _SCHEMA)
    expected.close()
    if run(connection, _SCHEMA) != wanted:
        raise IntegrityError("the database schema was changed (a trigger, view, index or table that is not ours)")


def _version(connection: apsw.Connection) -> int:
    return run(connection, "PRAGMA user_version")[0][0]
