"""A rotator for the password of a PostgreSQL role, as a program: the vault's secret is the password.

    [rotators.postgres]
    command = ["python3", "/etc/ironsecrets/rotate_postgres.py", "host=db.internal dbname=app user=app"]

The connection string names the server and the role, without the password. The role changes its own password, so no
administrator's is needed. The server gets a SCRAM verifier, never the password itself. Each step may be run again,
as after a crash: it looks at what the server accepts before it changes anything. Needs psycopg 3.2 with libpq 17.
"""

import json
import sys
from typing import Any

import psycopg

CONNECT_SECONDS = 5


def login(where: str, password: str) -> "psycopg.Connection[Any] | None":
    """A connection, or None where the server does not accept the password."""
    try:
        return psycopg.connect(where, password=password, connect_timeout=CONNECT_SECONDS, autocommit=True)
    except psycopg.OperationalError as error:
        # A server that is away is another matter: the rotator fails, and is tried again.
        if "password authentication failed" in str(error):
            return None
        raise


def change(where: str, old: str, new: str) -> None:
    """Make the server accept ``new``, given that it accepts ``old`` or ``new``."""
    connection = login(where, new)
    if connection is None:
        connection = login(where, old)
        if connection is None:
            raise SystemExit("the server accepts neither the current password nor the pending one")
        connection.pgconn.change_password(connection.info.user.encode(), new.encode())
    connection.close()


def main(where: str, step: str) -> None:
    """One step: the values are on stdin. What this prints is thrown away, except the new value at ``create``."""
    told = json.load(sys.stdin)
    current, pending = told["current"], told["pending"]
    match step:
        case "create":
            pass  # nothing printed: the vault generates one, as the policy says
        case "set":
            change(where, current, pending)
        case "test":
            connection = login(where, pending)
            if connection is None:
                raise SystemExit("the server does not accept the pending password")
            with connection:
                connection.execute("SELECT 1")
        case "abort":
            if pending is not None:
                change(where, pending, current)
        case _:
            pass  # finish: the server has one password, and it is the new one


if __name__ == "__main__":
    main(*sys.argv[1:])
