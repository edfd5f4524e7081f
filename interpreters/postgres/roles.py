"""What the roles of a database need: a service's may add entries, and never change or delete one."""

from typing import LiteralString, cast

import psycopg
from psycopg import sql

from interpreters.postgres.connections import connect
from interpreters.postgres.errors import translated
from interpreters.postgres.location import Location
from interpreters.postgres.schema import migrate
from ironsecrets.errors import StoreUnavailable

ROLES = """\
-- A service's role may add entries, and never change or delete one.
GRANT USAGE ON SCHEMA {schema} TO {role};
GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role};
GRANT INSERT ON {schema}.entries TO {role};
GRANT INSERT, UPDATE ON {schema}.heads, {schema}.headers, {schema}.snapshots TO {role};
GRANT INSERT, UPDATE, DELETE ON {schema}.records TO {role};
"""
ARCHIVER = """\
-- Archiving moves entries out of the database: a role for those who do that.
GRANT INSERT ON {schema}.archives TO {role};
GRANT DELETE ON {schema}.entries TO {role};
"""


def script(location: Location, role: str, *, archives: bool = False) -> str:
    """The statements that give ``role`` what it needs, for the schema's owner to run."""
    text = ROLES + ARCHIVER if archives else ROLES
    names = {"schema": sql.Identifier(location.schema), "role": sql.Identifier(role)}
    return sql.SQL(cast(LiteralString, text)).format(**names).as_string(None)


def provision(location: Location, role: str | None, *, archives: bool = False) -> None:
    """Make the schema, or bring it forward, and let ``role`` use it. For the schema's owner."""
    with translated(location), connect(location) as link, link.transaction():
        migrate(link, location.schema)
        if role is None:
            return
        try:
            link.execute(cast(LiteralString, script(location, role, archives=archives)))
        except psycopg.errors.UndefinedObject:
            raise StoreUnavailable(f"{location.shown}: there is no role of that name; CREATE ROLE makes one") from None
