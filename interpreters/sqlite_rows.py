"""Between a vault's tables and the store's values."""

from contextlib import suppress
from typing import Any, TypeVar

import apsw

from interpreters.sqlite_schema import run
from interpreters.store import Batch
from ironsecrets.errors import IntegrityError
from ironsecrets.identifiers import SecretId
from ironsecrets.sealing import SealedRecord

_T = TypeVar("_T")
_SIZE = "SELECT max(coalesce((SELECT max(seq) + 1 FROM entries), 0), coalesce((SELECT max(stop) FROM archives), 0))"


def held(value: object, kind: type[_T]) -> _T:
    """``value``, which must be of this type."""
    # A damaged file need not keep to its own schema: STRICT and NOT NULL hold for what SQLite itself writes.
    if not isinstance(value, kind):
        raise IntegrityError("the database holds something of another type than it must: it is damaged")
    return value


def record_of(row: Any) -> SealedRecord:
    """A row of ``records`` as a value."""
    secret, version, epoch, wrap, body = row
    return SealedRecord(
        secret=SecretId(held(secret, str)),
        version=held(version, int),
        epoch=held(epoch, int),
        wrap=held(wrap, bytes),
        body=held(body, bytes),
    )


def write(connection: apsw.Connection, batch: Batch) -> bool:
    """Make the whole change in one transaction; False, and nothing done, where the log is not as long as expected."""
    run(connection, "BEGIN IMMEDIATE")
    try:
        ((size,),) = run(connection, _SIZE)
        if size != batch.expected_size:
            run(connection, "ROLLBACK")
            return False
        _fill(connection, batch)
        run(connection, "COMMIT")
        return True
    except apsw.ConstraintError:
        raise IntegrityError("the store holds a request or a record already that is new to the log") from None
    finally:
        # After some errors SQLite has rolled back by itself; asking it again would hide the cause.
        if connection.in_transaction:
            with suppress(apsw.Error):
                run(connection, "ROLLBACK")


def _fill(connection: apsw.Connection, batch: Batch) -> None:
    if batch.header is not None:
        run(connection, "INSERT OR REPLACE INTO header VALUES (1, ?, ?)", batch.header)
    for seq, entry in enumerate(batch.entries, batch.expected_size):
        run(connection, "INSERT INTO entries VALUES (?, ?, ?)", (seq, entry.tag, entry.sealed))
    if batch.head is not None:
        run(connection, "INSERT OR REPLACE INTO head VALUES (1, ?)", (batch.head,))
    if batch.base is not None:
        run(connection, "INSERT OR REPLACE INTO base VALUES (1, ?)", (batch.base,))
    if batch.archive is not None:
        kept = (batch.archive.start, batch.archive.stop, batch.archive.leaves)
        run(connection, "INSERT INTO archives VALUES (?, ?, ?)", kept)
        run(connection, "DELETE FROM entries WHERE seq < ?", (batch.archive.stop,))
    if batch.snapshot is not None:
        run(connection, "INSERT OR REPLACE INTO snapshot VALUES (1, ?)", (batch.snapshot,))
    for kept in batch.keep:
        run(
            connection,
            "INSERT INTO records VALUES (?, ?, ?, ?, ?)",
            (kept.secret, kept.version, kept.epoch, kept.wrap, kept.body),
        )
    if batch.rewrap:
        connection.executemany(
            "UPDATE records SET epoch = ?, wrap = ? WHERE secret = ? AND version = ?",
            [(new.epoch, new.wrap, new.secret, new.version) for new in batch.rewrap],
        )
    for secret, version in batch.erase:
        run(connection, "DELETE FROM records WHERE secret = ? AND version = ?", (secret, version))
