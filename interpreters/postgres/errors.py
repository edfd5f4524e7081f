"""psycopg's errors as what they mean to whoever embeds a vault: one line each, and no password in any."""

from types import TracebackType

import psycopg
from psycopg_pool import PoolTimeout

from interpreters.postgres.location import Location
from ironsecrets.errors import IntegrityError, StoreFull, StoreUnavailable, VaultBusy, VaultError

# What libpq says before there is a connection comes as text only.
_SAID = (
    ("password authentication failed", "the password was refused"),
    ("no password supplied", "the server asks for a password; put it into the URL or a password file"),
    ("does not exist", "there is no such database or role"),
    ("pg_hba.conf", "the server does not let this role in from here, or asks for TLS (sslmode=require)"),
    ("certificate", "the server's certificate is not trusted; see sslrootcert"),
    ("SSL", "the server and this client do not agree on TLS; see sslmode and sslrootcert"),
    ("could not translate host name", "there is no such host"),
    ("failed to resolve host", "there is no such host"),
    ("session is read-only", "it takes no writes: it is a standby"),
    ("remaining connection slots", "the server has no connection free"),
    ("too many", "the server has no connection free"),
    ("starting up", "the server is starting; try again"),
    ("has not answered", "the server does not answer; it may wait for a standby. Ask again with the same request"),
    ("standby has not confirmed", "the standby does not confirm. Ask again with the same request"),
    ("timeout", "the server does not answer"),
    ("refused", "nothing listens there"),
)


class translated:
    """A ``with`` that turns what the database does wrong into one of ours."""

    __slots__ = ("_where",)

    def __init__(self, where: Location) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, psycopg.Error):
            # The cause may hold the connection string, and so the password.
            raise _meaning(error, self._where) from None


def _meaning(error: psycopg.Error, where: Location) -> VaultError:
    match error:
        case psycopg.errors.UniqueViolation():
            return IntegrityError("the store holds a request or a record already that is new to the log")
        case PoolTimeout():
            return VaultBusy(f"{where} is busy: every connection of the pool is in use; try again")
        case psycopg.errors.DiskFull() | psycopg.errors.OutOfMemory():
            return StoreFull(f"{where} has no space left")
        case (
            psycopg.errors.LockNotAvailable()
            | psycopg.errors.QueryCanceled()
            | psycopg.errors.SerializationFailure()
            | psycopg.errors.DeadlockDetected()
        ):
            return VaultBusy(f"{where} is busy; try again")
        case psycopg.errors.UndefinedTable() | psycopg.errors.InvalidSchemaName():
            return StoreUnavailable(f"{where}: the schema is missing; its owner makes it with `schema`")
        case psycopg.errors.FeatureNotSupported() | psycopg.errors.UndefinedFunction():
            return StoreUnavailable(f"{where}: the server does not know what this needs; see the page on PostgreSQL")
        case psycopg.errors.InsufficientPrivilege():
            return StoreUnavailable(f"{where}: this role may not do that; the owner grants it with `schema --service`")
        case psycopg.errors.ReadOnlySqlTransaction():
            return StoreUnavailable(f"{where} takes no writes: it is a standby")
        case _:
            text = str(error)
            said = next((line for sign, line in _SAID if sign in text), "the connection was lost, or never made")
            return StoreUnavailable(f"{where}: {said}")
