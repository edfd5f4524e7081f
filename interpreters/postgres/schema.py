"""The tables of vaults in PostgreSQL, the roles, and how an older schema becomes today's.

A vault's name is in every key, so that one schema holds many. ``meta`` counts the migrations that a schema has been
through. Only types and statements that CockroachDB and YugabyteDB take too.
"""

import hashlib
from typing import Any, LiteralString, cast

import psycopg
from psycopg import sql

from ironsecrets.errors import NewerFormat, StoreUnavailable

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE {schema}.heads (vault text PRIMARY KEY, size bigint NOT NULL, body bytea NOT NULL);
    CREATE TABLE {schema}.headers (vault text PRIMARY KEY, body bytea NOT NULL, mac bytea NOT NULL);
    CREATE TABLE {schema}.snapshots (vault text, kind text, sealed bytea NOT NULL, PRIMARY KEY (vault, kind));
    CREATE TABLE {schema}.entries (vault text, seq bigint, request bytea NOT NULL, sealed bytea NOT NULL,
        PRIMARY KEY (vault, seq), UNIQUE (vault, request));
    CREATE TABLE {schema}.records (vault text, secret text, version bigint, epoch bigint NOT NULL,
        wrap bytea NOT NULL, body bytea NOT NULL, PRIMARY KEY (vault, secret, version));
    CREATE TABLE {schema}.archives (vault text, start bigint, stop bigint NOT NULL, leaves bytea NOT NULL,
        PRIMARY KEY (vault, start));
    """,
)


def migrate(connection: "psycopg.Connection[Any]", schema: str) -> None:
    """Make the schema, or bring it forward to today's version, all of it or nothing; nothing where it is today's."""
    name = sql.Identifier(schema)
    if made(connection, schema) and version(connection, schema) >= len(MIGRATIONS):
        return
    with connection.transaction():
        # One at a time: two that both find nothing would both make it.
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (lock_number("schema", schema),))
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(name))
        connection.execute(sql.SQL("CREATE TABLE IF NOT EXISTS {}.meta (version bigint PRIMARY KEY)").format(name))
        found = version(connection, schema)
        for number, script in enumerate(MIGRATIONS[found:], found + 1):
            connection.execute(sql.SQL(cast(LiteralString, script)).format(schema=name))
            connection.execute(sql.SQL("INSERT INTO {}.meta VALUES (%s)").format(name), (number,))


def lock_number(*names: str) -> int:
    """The number of an advisory lock, which all that use the database have in common."""
    return int.from_bytes(hashlib.sha256("/".join(("ironsecrets", *names)).encode()).digest()[:8], signed=True)


def made(connection: "psycopg.Connection[Any]", schema: str) -> bool:
    """Whether the schema has tables of ours."""
    row = connection.execute(
        "SELECT count(*) FROM information_schema.tables WHERE table_schema = %s AND table_name = 'meta'", (schema,)
    ).fetchone()
    return row is not None and row[0] > 0


def version(connection: "psycopg.Connection[Any]", schema: str) -> int:
    """How many migrations the schema has been through."""
    query = sql.SQL("SELECT coalesce(max(version), 0) FROM {}.meta").format(sql.Identifier(schema))
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def check_version(connection: "psycopg.Connection[Any]", schema: str) -> None:
    """Refuse a schema that is not today's."""
    found = version(connection, schema)
    if found > len(MIGRATIONS):
        raise NewerFormat(f"the schema {schema} was made by a newer version (format {found}); upgrade ironsecrets")
    if found < len(MIGRATIONS):
        raise StoreUnavailable(f"the schema {schema} is of an older version; its owner brings it forward by `schema`")
