"""Work on a server that may go away: connections from the pool, others in their place, transactions of several
statements."""

import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, LiteralString, TypeVar

import attrs
import psycopg
from psycopg import sql

from interpreters.postgres.connections import Connections, Link
from interpreters.postgres.errors import translated
from interpreters.postgres.location import Location
from ironsecrets.errors import VaultClosed

PAUSE = 0.05
LOST = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.ReadOnlySqlTransaction)

_T = TypeVar("_T")


@attrs.define(eq=False)
class Session:
    """One vault's use of the connections to its server. ``patience`` is in seconds."""

    location: Location
    patience: float
    _pid: int = attrs.field(factory=os.getpid)
    _connections: Connections | None = None
    # The link of a transaction that lasts for several statements, and the thread whose it is.
    _bound: tuple[Link, int] | None = None
    _whole: bool = False
    _way: int = 0

    def __attrs_post_init__(self) -> None:
        self._connections = Connections.to(self.location)

    @property
    def usable(self) -> bool:
        """Whether it is neither closed nor inherited by a fork."""
        return self._connections is not None and self._pid == os.getpid()

    @property
    def connections(self) -> Connections:
        """The connections; :class:`VaultClosed` where they may not be used."""
        if self._connections is None or self._pid != os.getpid():
            raise VaultClosed("this vault is closed, or came here by a fork; open it again")
        return self._connections

    @property
    def whole(self) -> bool:
        """Whether everything is part of one transaction, which ends from outside."""
        return self._whole

    @property
    def own(self) -> Link | None:
        """The link of this thread's transaction."""
        return self._bound[0] if self._bound is not None and self._bound[1] == threading.get_ident() else None

    def query(self, text: LiteralString) -> sql.Composed:
        """The statement, with the name of the schema in it."""
        return _composed(self.location.schema, text)

    def deadline(self) -> float:
        """When patience ends that begins now, by the monotonic clock."""
        return time.monotonic() + self.patience

    @contextmanager
    def one(self, deadline: float) -> Generator[Link]:
        """The link of this thread's transaction, or one of the pool for a while."""
        own, connections = self.own, self.connections
        if own is not None:
            yield own
        else:
            with connections.one(deadline) as link:
                yield link

    def lost(self, link: Link, error: psycopg.Error, deadline: float) -> None:
        """Raise ``error`` unless another connection may help."""
        if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
            link.close()
        if not link.closed or self._whole or time.monotonic() >= deadline:
            raise error
        if self._bound is not None and self._bound[0] is link:
            self._bound = None

    def read(self, work: Callable[[Link], _T], deadline: float | None = None) -> _T:
        """What ``work`` gives, on another connection where one is lost: it changes nothing."""
        until = self.deadline() if deadline is None else deadline
        with translated(self.location):
            while True:
                with self.one(until) as link:
                    try:
                        return work(link)
                    except LOST as error:
                        self.lost(link, error, until)
                time.sleep(PAUSE)

    def rows(self, text: LiteralString, *parameters: object) -> list[Any]:
        """The rows of a query whose first parameter is the vault."""
        query, given = self.query(text), (self.location.vault, *parameters)
        return self.read(lambda link: link.execute(query, given, binary=True).fetchall())

    @contextmanager
    def transaction(self, kind: LiteralString = "") -> Generator[None]:
        """All that happens within becomes durable at its end, at once, or not at all."""
        with translated(self.location), self.one(self.deadline()) as link:
            link.unsynchronised = False
            try:
                with link.transaction():
                    if kind:
                        link.execute(kind)
                    self._bound, self._whole = (link, threading.get_ident()), True
                    yield
            finally:
                self._bound, self._whole = None, False
            link.check()

    @contextmanager
    def holding(self, *ways: sql.Composed) -> Generator[list[Any] | None]:
        """The last rows of statements that begin a transaction and lock something until :meth:`release`, or the end;
        None where they could not. The first of the ways that the server knows is gone."""
        with translated(self.location), self.one(self.deadline()) as link:
            rows = None
            with suppress(*LOST):
                for way in ways[self._way :]:
                    try:
                        rows = _last(link.execute(way))
                        break
                    except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFunction):
                        link.rollback()
                        self._way += 1
                self._bound = (link, threading.get_ident())
            try:
                yield rows
            finally:
                self._bound = None
                with suppress(*LOST):
                    link.rollback()

    def give_up(self) -> None:
        """Undo what this thread has done while it was holding rows, and hold them no more."""
        if (link := self.own) is not None:
            link.rollback()
            self._bound = None

    def release(self) -> None:
        """Commit what this thread has done while it was holding rows."""
        link = self.own
        if link is not None and not self._whole:
            link.unsynchronised = False
            link.commit()
            link.check()
            self._bound = None

    def close(self) -> None:
        """Let go of the connections. Closing twice is no error; in a forked child, it touches nothing."""
        connections, self._connections = self._connections, None
        if connections is not None and self._pid == os.getpid():
            connections.close()

    def __del__(self) -> None:
        self.close()


def _last(cursor: "psycopg.Cursor[Any]") -> list[Any]:
    while cursor.nextset():
        pass
    return cursor.fetchall()


@cache
def _composed(schema: str, text: LiteralString) -> sql.Composed:
    return sql.SQL(text).format(s=sql.Identifier(schema))
