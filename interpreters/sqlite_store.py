"""The SQLite store: one file through APSW, WAL, ``synchronous=FULL``, one transaction a commit.

Several processes may open one file. After an error from a commit the connection counts as dead and is opened
anew. In a forked child the store refuses and never touches the parent's connection.
"""

import ctypes
import os
import weakref
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, TypeVar

import apsw

from interpreters.ballast import Ballast
from interpreters.leader import file_lock
from interpreters.sqlite_errors import full, translated
from interpreters.sqlite_files import copied, look, publish
from interpreters.sqlite_rows import held, record_of, write
from interpreters.sqlite_schema import APPLICATION_ID, MIGRATIONS, check_identity, harden, migrate, run
from interpreters.store import Archived, Batch, Image, RecordKey, Store, StoredEntry
from ironsecrets.errors import (
    IntegrityError,
    StoreFull,
    StoreUnavailable,
    VaultClosed,
    VaultExists,
)
from ironsecrets.identifiers import SecretId
from ironsecrets.sealing import SealedRecord, Wrap

CHECKPOINT_PAGES = 1000
PAGE = 500
BUSY_TIMEOUT = 10.0
READER_PATIENCE = 1.0

_T = TypeVar("_T")
_RECORD = "rowid, secret, version, epoch, wrap, body"
_open_stores: "weakref.WeakSet[SqliteStore]" = weakref.WeakSet()


def _poison() -> None:
    # The child must neither use nor close what it inherited: closing would act on the parent's files. An extra
    # reference keeps the connection from being closed when the child's objects are collected.
    for store in list(_open_stores):
        store.abandon()


os.register_at_fork(after_in_child=_poison)


class SqliteStore:
    """A vault in one SQLite file. ``vfs`` names another SQLite VFS, for tests of faults and power loss."""

    def __init__(
        self, path: Path, *, busy_timeout: float = BUSY_TIMEOUT, vfs: str | None = None, ballast: bool = True
    ) -> None:
        self.path = path
        self._busy_timeout = busy_timeout
        self._vfs = vfs
        self._wal_pages = 0
        self._checkpoint_pages = CHECKPOINT_PAGES
        self._commits = 0
        # The ballast was given up: what is left of it is for changes that narrow access.
        self._starved = False
        self._connection: apsw.Connection | None = None
        self._closed = False
        self._place: tuple[int, int] | None = None
        self._ballast = Ballast(path, wanted=ballast)
        self._connected()
        _open_stores.add(self)

    @classmethod
    def create(cls, path: Path, first: Batch | None = None, *, vfs: str | None = None) -> None:
        """Make a file with ``first`` in it (None: empty). It appears whole, with mode 0600, or not at all."""
        if os.path.lexists(path):
            raise VaultExists(f"{path} exists already; nothing was changed")
        if not path.parent.is_dir():
            raise StoreUnavailable(f"the folder {path.parent} does not exist; make it first")
        making = path.with_name(f".{path.name}.{os.urandom(6).hex()}.new")
        with translated(path):
            try:
                os.close(os.open(making, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
                os.chmod(making, 0o600)
                connection = apsw.Connection(str(making), flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
                try:
                    run(connection, "PRAGMA page_size = 4096")
                    harden(connection, BUSY_TIMEOUT)
                    run(connection, f"PRAGMA application_id = {APPLICATION_ID}")
                    run(connection, "PRAGMA journal_mode = WAL")
                    migrate(connection)
                    if first is not None:
                        write(connection, first)
                    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
                finally:
                    connection.close()
                publish(making, path)
            finally:
                for suffix in ("", "-wal", "-shm", "-journal"):
                    with suppress(OSError):
                        os.unlink(f"{making}{suffix}")
        Ballast(path).keep()

    @staticmethod
    def copy(source: Path, target: Path) -> None:
        """Copy a closed vault's file, or one that is in use, as it is at one moment."""
        look(source)
        with translated(source):
            reader = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READWRITE)
            try:
                check_identity(reader, str(source))
                copied(reader, target)
            finally:
                reader.close()

    def copy_to(self, target: Path) -> None:
        """Copy the file as it is at one moment. Others go on writing."""
        with translated(self.path):
            # A connection of its own: one step takes all pages, and nobody waits for it.
            reader = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=self._vfs)
            try:
                harden(reader, self._busy_timeout)
                copied(reader, target)
            finally:
                reader.close()

    def compact(self) -> tuple[int, int, bool]:
        """Rewrite the file without free pages: its size before and after, and whether the old pages are gone."""
        connection = self._connected()
        before = os.stat(self.path).st_size
        with translated(self.path):
            run(connection, "VACUUM")
        final = self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        return before, os.stat(self.path).st_size, final

    def sound(self) -> list[str]:
        """What SQLite's own check finds wrong with the file; nothing where it is sound."""
        found = [str(row[0]) for row in self._rows("PRAGMA integrity_check(20)")]
        return [] if found == ["ok"] else found

    def _connected(self) -> apsw.Connection:
        if self._closed:
            raise VaultClosed("this vault is closed, or came here by a fork; open it again")
        if self._connection is None:
            with translated(self.path):
                try:
                    self._connection = self._open()
                except (apsw.FullError, apsw.CantOpenError, apsw.IOError):
                    if not self._ballast.release():
                        raise
                    self._starved = True
                    self._connection = self._open()
        return self._connection

    def _open(self) -> apsw.Connection:
        look(self.path)
        before = os.stat(self.path)
        connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=self._vfs)
        try:
            # Once the name was another file's, what comes back under it is not what the engine knows.
            place = (before.st_dev, before.st_ino)
            if self._place not in (None, place):
                raise StoreUnavailable(f"{self.path} was replaced while it was open; open the vault again")
            self._place = place
            connection.set_busy_timeout(int(self._busy_timeout * 1000))
            check_identity(connection, str(self.path))
            harden(connection, self._busy_timeout)
            migrate(connection)
            check_identity(connection, str(self.path), MIGRATIONS)
            if run(connection, "PRAGMA journal_mode") != [("wal",)]:
                run(connection, "PRAGMA journal_mode = WAL")
            connection.set_wal_hook(self._count_pages)
        except BaseException:
            connection.close()
            raise
        return connection

    def _count_pages(self, connection: apsw.Connection, schema: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def _rows(self, sql: str, *parameters: object) -> list[Any]:
        connection = self._connected()
        with translated(self.path):
            return run(connection, sql, parameters)

    def load(self) -> Image | None:
        query = (
            "SELECT body, mac, (SELECT body FROM head), (SELECT sealed FROM snapshot), (SELECT sealed FROM base)"
            " FROM header"
        )
        for header, mac, head, snapshot, base in self._rows(query):
            if head is None:
                raise IntegrityError("the head of the log is missing")
            return Image(
                header=held(header, bytes),
                header_mac=held(mac, bytes),
                head=held(head, bytes),
                snapshot=None if snapshot is None else held(snapshot, bytes),
                base=None if base is None else held(base, bytes),
            )
        return None

    def head(self) -> bytes:
        for (body,) in self._rows("SELECT body FROM head"):
            return held(body, bytes)
        raise IntegrityError("the head of the log is missing")

    def stamp(self, *, fresh: bool = False) -> int:
        # data_version counts what other connections did, not what this one did.
        connection = self._connected()
        self._check_place()
        with translated(self.path):
            return (connection.execute("PRAGMA data_version").get << 64) + self._commits

    def _check_place(self) -> None:
        # A connection goes on with a file that has lost its name, and what it writes is lost with the process.
        try:
            found = os.stat(self.path)
        except OSError:
            found = None
        if found is None or (found.st_dev, found.st_ino) != self._place:
            raise StoreUnavailable(
                f"{self.path} was moved, replaced or deleted while it was open; open the vault again"
            )

    def commit(self, batch: Batch) -> bool:
        if self._starved and not batch.urgent:
            self._connected()
            self._ballast.keep()
            if not self._ballast.kept():
                raise full(self.path)
            self._starved = False
        try:
            return self._commit(batch)
        except StoreFull:
            if not (batch.urgent and self._ballast.release()):
                raise
            self._starved = True
            return self._commit(batch)

    def _commit(self, batch: Batch) -> bool:
        connection = self._connected()
        self._check_place()
        try:
            with translated(self.path):
                done = write(connection, batch)
            self._commits += 1
        except StoreUnavailable:
            self._drop()
            raise
        if self._wal_pages >= self._checkpoint_pages:
            self._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
        return done

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._commits += 1
        if connection is not None:
            with suppress(apsw.Error):
                connection.close()

    def _checkpoint(self, mode: int) -> bool:
        # The commit is durable already; a checkpoint that fails is tried again after a later one.
        try:
            connection = self._connected()
            # A reader may stay for long: waiting for it would hold up everybody who writes.
            connection.set_busy_timeout(int(min(self._busy_timeout, READER_PATIENCE) * 1000))
            left, done = connection.wal_checkpoint(mode=mode)
        except apsw.Error:
            return False
        finally:
            if self._connection is not None:
                self._connection.set_busy_timeout(int(self._busy_timeout * 1000))
        self._wal_pages = left - done
        self._ballast.keep()
        return left == done

    def entries(self, start: int, stop: int | None = None) -> Iterator[StoredEntry]:
        query = "SELECT seq, request, sealed FROM entries WHERE seq >= ? AND seq < ? ORDER BY seq"
        at = start
        while stop is None or at < stop:
            until = at + PAGE if stop is None else min(stop, at + PAGE)
            rows = self._rows(query, at, until)
            for expected, (seq, tag, sealed) in enumerate(rows, at):
                if seq != expected:
                    raise IntegrityError(f"entry {expected} is missing")
                yield StoredEntry(tag=held(tag, bytes), sealed=held(sealed, bytes))
            at += len(rows)
            if at < until:
                if stop is not None or self._rows("SELECT 1 FROM entries WHERE seq >= ? LIMIT 1", at):
                    raise IntegrityError(f"entry {at} is missing")
                return

    def archives(self) -> Sequence[Archived]:
        rows = self._rows("SELECT start, stop, leaves FROM archives ORDER BY start")
        return [
            Archived(start=held(start, int), stop=held(stop, int), leaves=held(leaves, bytes))
            for start, stop, leaves in rows
        ]

    def oldest(self) -> int:
        return held(self._rows("SELECT coalesce(max(stop), 0) FROM archives")[0][0], int)

    def find(self, tag: bytes) -> int | None:
        rows = self._rows("SELECT seq FROM entries WHERE request = ?", tag)
        return rows[0][0] if rows else None

    def record(self, secret: SecretId, version: int) -> SealedRecord | None:
        query = f"SELECT {_RECORD} FROM records WHERE secret = ? AND version = ?"
        rows = self._rows(query, secret, version)
        return record_of(rows[0][1:]) if rows else None

    def wraps(self, keys: Sequence[RecordKey]) -> Sequence[Wrap]:
        query = "SELECT secret, version, epoch, wrap FROM records WHERE secret = ? AND version = ?"
        connection = self._connected()
        with translated(self.path):
            rows: list[Any] = list(connection.executemany(query, keys))
        return [
            Wrap(
                secret=SecretId(held(secret, str)),
                version=held(version, int),
                epoch=held(epoch, int),
                wrap=held(wrap, bytes),
            )
            for secret, version, epoch, wrap in rows
        ]

    def records(self) -> Iterator[SealedRecord]:
        query = f"SELECT {_RECORD} FROM records WHERE rowid > ? ORDER BY rowid LIMIT ?"
        last = -(2**63)
        while rows := self._rows(query, last, PAGE):
            for row in rows:
                yield record_of(row[1:])
            last = rows[-1][0]

    def settle(self) -> bool:
        return self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)

    @contextmanager
    def still(self) -> Generator[Store]:
        view = SqliteStore(self.path, busy_timeout=self._busy_timeout, vfs=self._vfs, ballast=False)
        try:
            connection = view._connected()
            with translated(self.path):
                # A transaction sees the moment of its first read.
                run(connection, "BEGIN")
                run(connection, "SELECT count(*) FROM header")
            yield view
        finally:
            view._drop()
            view.close()

    def turn(self) -> AbstractContextManager[None]:
        return nullcontext()

    def lead(self) -> AbstractContextManager[bool]:
        return file_lock(Path(f"{os.path.realpath(self.path)}-rotation"))

    def close(self) -> None:
        if self._closed:
            return
        if self._connection is not None:
            self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self._drop()
        self._closed = True
        if self._starved:
            self._ballast.refill()

    def abandon(self) -> None:
        """In a forked child: refuse from now on, and never let the inherited connection be closed."""
        if self._connection is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))
        self._connection = None
        self._closed = True
