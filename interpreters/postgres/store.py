"""The PostgreSQL store: one statement a commit, on condition that the log has the expected size.

The row of the head is what commits meet at: whoever changes it first has won, and the others find another size there,
catch up and decide again. A commit whose fate is unknown is settled by looking for its last request behind that row's
lock: what was on its way has ended by then, and committing the look waits for the same standby.
"""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any, LiteralString

import attrs
import psycopg
from psycopg import sql

from interpreters.postgres.connections import Link, connect
from interpreters.postgres.errors import translated
from interpreters.postgres.listening import CHANNEL, Listener
from interpreters.postgres.location import Location
from interpreters.postgres.reads import Reads
from interpreters.postgres.schema import check_version, lock_number, made, migrate
from interpreters.postgres.session import LOST, PAUSE, Session
from interpreters.postgres.writing import WAITS, statement
from interpreters.store import Batch, Image, Store
from ironsecrets.errors import IntegrityError

PATIENCE = 10.0
TRIES = 20
LISTEN_AFTER = 1.0

# Rolled back for certain: the same batch may be tried again, and finds the same log or another.
_AGAIN = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)
_HEAD: LiteralString = "".join(("SELECT size, body, ", WAITS, " FROM {s}.heads WHERE vault = %s"))
_SHARED: LiteralString = "".join((_HEAD, " FOR KEY SHARE"))
_LOCKED: LiteralString = "".join((_HEAD, " FOR NO KEY UPDATE"))
# Who waits for a row may be passed by who comes just as it is free; who waits for an advisory lock is next.
_QUEUE: LiteralString = "SELECT pg_advisory_xact_lock({turn}); "
_TURN: LiteralString = "".join(
    ("SELECT size, body, ", WAITS, " FROM {s}.heads WHERE vault = {vault} FOR NO KEY UPDATE")
)


@attrs.frozen
class _Seen:
    """The size and the head that were seen last, when by the clock, and what the listener had said by then."""

    size: int
    head: bytes
    at: float
    heard: tuple[int, int]


class PostgresStore(Reads):
    """One vault in a schema of a PostgreSQL database.

    ``patience`` is how long, in seconds, a server that has gone may take to come back, or another to take its place.
    ``clock`` tells, in seconds, when the bound is over.
    """

    def __init__(
        self, location: Location, *, patience: float = PATIENCE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.location = location
        self._clock = clock
        self._topic = f"{location.schema}/{location.vault}"
        self._seen: _Seen | None = None
        self._tells = True
        self._began = clock()
        super().__init__(Session(location, patience))
        try:
            self._of.read(lambda link: check_version(link, location.schema))
        except BaseException:
            self.close()
            raise

    @staticmethod
    def prepare(location: Location) -> None:
        """Make the schema and its tables, or bring them forward. For their owner."""
        with translated(location), connect(location) as link:
            migrate(link, location.schema)

    @staticmethod
    def taken(location: Location) -> bool:
        """Whether a vault of this name is there, or in the way."""
        with translated(location), connect(location) as link:
            if not made(link, location.schema):
                return False
            query = sql.SQL("SELECT 1 FROM {}.headers WHERE vault = %s").format(sql.Identifier(location.schema))
            return link.execute(query, (location.vault,)).fetchone() is not None

    def exists(self) -> bool:
        """Whether a vault of this name is there."""
        return bool(self._of.rows("SELECT 1 FROM {s}.headers WHERE vault = %s"))

    @contextmanager
    def whole(self) -> Generator[None]:
        """All that happens within becomes durable at its end, at once, or not at all."""
        try:
            with self._of.transaction():
                yield
        finally:
            self._seen = None

    @contextmanager
    def still(self) -> Generator[Store]:
        if self._of.whole:
            # What is not committed yet stands in no other's view, and still by itself.
            yield self
            return
        view = PostgresStore(self.location, patience=self._of.patience)
        try:
            with view._of.transaction("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"):
                yield view
        finally:
            view.close()

    @contextmanager
    def turn(self) -> Generator[None]:
        with self._of.holding(self._turn(_QUEUE), self._turn("")) as rows:
            if rows:
                with suppress(*LOST):
                    self._see_locked(rows[0])
            yield

    def _turn(self, queue: LiteralString) -> sql.Composed:
        return sql.SQL("".join(("BEGIN; ", queue, _TURN))).format(
            s=sql.Identifier(self.location.schema), turn=lock_number("turn", self._topic), vault=self.location.vault
        )

    def _see_locked(self, row: tuple[Any, ...]) -> None:
        heard = self._heard()
        if self._news(row):
            # On another connection: this one would wait for the standby at the end of its transaction only.
            with self._of.connections.one(self._of.deadline()) as other:
                other.durably(self._of.query(_SHARED), (self.location.vault,))
        self._saw(row, heard)

    def _news(self, row: tuple[Any, ...]) -> bool:
        """Whether a standby may not have this yet."""
        return row[2] and (self._seen is None or row[:2] != (self._seen.size, self._seen.head))

    def load(self) -> Image | None:
        query: LiteralString = (
            "SELECT h.body, h.mac, d.body, s.sealed, b.sealed FROM {s}.headers h"
            " LEFT JOIN {s}.heads d ON d.vault = h.vault"
            " LEFT JOIN {s}.snapshots s ON s.vault = h.vault AND s.kind = 'state'"
            " LEFT JOIN {s}.snapshots b ON b.vault = h.vault AND b.kind = 'base' WHERE h.vault = %s"
        )
        for header, mac, head, snapshot, base in self._of.read(lambda link: self._unhurried(link, query)):
            if head is None:
                raise IntegrityError("the head of the log is missing")
            # Waits until what was just read is durable.
            self.stamp(fresh=True)
            return Image(header=header, header_mac=mac, head=head, snapshot=snapshot, base=base)
        return None

    def _unhurried(self, link: Link, query: LiteralString) -> list[tuple[Any, ...]]:
        link.hurried = False
        try:
            return link.execute(self._of.query(query), (self.location.vault,), binary=True).fetchall()
        finally:
            link.hurried = True

    def stamp(self, *, fresh: bool = False) -> int:
        """The size of the log; within the bound the one that was seen last, unless somebody told of a change."""
        return 0 if (seen := self._look(fresh)) is None else seen.size

    def head(self) -> bytes:
        seen = self._seen or self._look(fresh=True)
        if seen is None:
            raise IntegrityError("the head of the log is missing")
        return seen.head

    def _look(self, fresh: bool) -> _Seen | None:
        now, heard, seen = self._clock(), self._heard(), self._seen
        if seen is not None and self._of.usable:
            if self._of.own is not None and not self._of.whole:
                # Nobody can have changed it.
                return seen
            told = heard[0] != seen.heard[0] or (heard != seen.heard and heard[1] > seen.size)
            if not (fresh or told) and now - seen.at < self.location.bound:
                return seen
        rows = self._of.read(self._durable_head)
        if not rows:
            self._seen = None
            return None
        return self._saw(rows[0], heard, now)

    def _saw(self, row: tuple[Any, ...], heard: tuple[int, int], now: float | None = None) -> _Seen:
        if self._seen is None or self._seen.size != row[0]:
            self.forget()
        self._seen = _Seen(row[0], row[1], self._clock() if now is None else now, heard)
        return self._seen

    def _durable_head(self, link: Link) -> list[tuple[Any, ...]]:
        """The head, once a standby has it too, where there is one.

        A primary whose postmaster was killed shows, for a moment, what it has not sent yet; so does one that was
        started again.
        """
        vault = (self.location.vault,)
        rows = link.execute(self._of.query(_HEAD), vault, binary=True).fetchall()
        # The end of a transaction of several statements waits by itself.
        if rows and not self._of.whole and self._news(rows[0]):
            # Who may only read, or reads from a standby, sees what there is.
            with suppress(psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction):
                return link.durably(self._of.query(_SHARED), vault)
        return rows

    def _heard(self) -> tuple[int, int]:
        listener = self._listener()
        return (0, 0) if listener is None else listener.heard(self._topic)

    def _listener(self) -> Listener | None:
        if not (self.location.bound and self._of.usable):
            return None
        # Who is done within a second, as a command is, needs nobody to listen: the bound holds all the same.
        listens = self._clock() - self._began >= LISTEN_AFTER
        return self._of.connections.listener() if listens else None

    def commit(self, batch: Batch) -> bool:
        deadline = self._of.deadline()
        tag = batch.entries[-1].tag if batch.entries else None
        tries, doubt = 0, False
        with translated(self.location):
            while True:
                began, heard = self._clock(), self._heard()
                won: bool | None = None
                with self._of.one(deadline) as link:
                    try:
                        won = self._commit(link, batch)
                    except _AGAIN:
                        tries += 1
                        if tries == TRIES or self._of.whole:
                            raise
                        self._of.give_up()
                        continue
                    except LOST as error:
                        self._of.lost(link, error, deadline)
                        doubt = True
                if won is None:
                    time.sleep(PAUSE)
                if doubt and not won and tag is not None:
                    # It may have been made before the connection went, or just now, before it was tried again.
                    won = True if self._settled(tag, deadline) else won
                if won is not None:
                    break
        self._after(batch, won, began, heard)
        return won

    def _commit(self, link: Link, batch: Batch) -> bool:
        text, parameters = statement(self.location.vault, batch)
        while True:
            ((taken, waits),) = link.durably(self._of.query(text), parameters)
            if taken:
                self._of.release()
                return True
            if not waits or self._shared_size(link) != batch.expected_size:
                return False
            # Somebody's commit was in the way that no standby has, and is gone.

    def _shared_size(self, link: Link) -> int | None:
        rows = link.durably(self._of.query(_SHARED), (self.location.vault,))
        return rows[0][0] if rows else None

    def _settled(self, tag: bytes, deadline: float) -> bool:
        """Whether the request is in the log, for certain: what is on its way has ended, what is there is durable."""
        vault = (self.location.vault,)

        def look(link: Link) -> bool:
            link.unsynchronised = False
            with link.transaction():
                link.execute(self._of.query(_LOCKED), vault)
                query = self._of.query("SELECT seq FROM {s}.entries WHERE vault = %s AND request = %s")
                found = link.execute(query, (*vault, tag)).fetchone()
            link.check()
            return found is not None

        return self._of.read(look, deadline)

    def _after(self, batch: Batch, won: bool, began: float, heard: tuple[int, int]) -> None:
        size = batch.expected_size + len(batch.entries)
        if not won or batch.rewrap or batch.erase or batch.archive is not None:
            self.forget()
        self._seen = _Seen(size, batch.head, began, heard) if won and batch.head is not None else None
        if won and batch.entries and not batch.quiet and self._tells and not self._of.whole:
            self._tell(size)

    def _tell(self, size: int) -> None:
        # After the commit and not with it: the server commits those who tell one after the other, standby and all.
        with suppress(psycopg.Error), self._of.one(time.monotonic()) as link:
            try:
                link.execute("SELECT pg_notify(%s, %s)", (CHANNEL, f"{self._topic}/{size}"))
            except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFunction):
                self._tells = False

    def find(self, tag: bytes) -> int | None:
        rows = self._of.rows("SELECT seq FROM {s}.entries WHERE vault = %s AND request = %s", tag)
        if not rows:
            return None
        # A server that was started again shows what its standby may not have.
        return rows[0][0] if self._settled(tag, self._of.deadline()) else None

    def settle(self) -> bool:
        """False: the server keeps what was erased until it vacuums, and its own log and its standbys longer."""
        return False

    @contextmanager
    def lead(self) -> Generator[bool]:
        # A connection of its own: the lock ends with it, however it ends.
        with translated(self.location):
            link = connect(self.location)
        try:
            with translated(self.location):
                query = "SELECT pg_try_advisory_lock(%s)"
                row = link.execute(query, (lock_number("lead", self._topic),)).fetchone()
            yield row is not None and bool(row[0])
        finally:
            link.close()

    def close(self) -> None:
        self._of.close()
