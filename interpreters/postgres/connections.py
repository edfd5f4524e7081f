"""Connections to one server, which all vaults there share in this process: a pool, and one listener.

An acknowledged commit must outlive the server's crash, and that of its primary where a standby is synchronous; what a
session's settings say to the contrary is overruled.
"""

import logging
import os
import select
import threading
import time
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar, LiteralString

import psycopg
from psycopg import sql
from psycopg_pool import ConnectionPool, PoolTimeout

from interpreters.postgres.errors import translated
from interpreters.postgres.listening import Listener
from interpreters.postgres.location import Location
from ironsecrets.errors import StoreUnavailable

LOCK_SECONDS = 10
ANSWER_SECONDS = 30
SHORTEST_WAIT = 0.2
_DURABLE = ("on", "remote_apply")
_SETTINGS: LiteralString = (
    "SELECT set_config('lock_timeout', %s, false),"
    " set_config('default_transaction_isolation', 'read committed', false),"
    " current_setting('synchronous_commit', true), current_setting('fsync', true)"
)
# Without a handler of its own, Python prints what a library warns of; why there is no connection, our errors say.
logging.getLogger("psycopg.pool").addHandler(logging.NullHandler())


class Link(psycopg.Connection[tuple[Any, ...]]):
    """A connection that does not wait for ever, and knows whether the server gave up waiting for a standby.

    No limit of the server's own holds where a commit waits for its standby, nor where a machine is frozen.
    """

    unsynchronised = False
    hurried = True
    """Whether the server has to answer within ANSWER_SECONDS; a large snapshot may take longer to come."""

    def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        try:
            limit = {"timeout": ANSWER_SECONDS} if self.hurried else {}
            return super().wait(gen, *arguments, **{**limit, **options})
        except psycopg.OperationalError:
            if self.pgconn.transaction_status != psycopg.pq.TransactionStatus.ACTIVE:
                raise
            self.close()
            raise psycopg.OperationalError("the server has not answered") from None

    def durably(self, query: sql.Composed, parameters: Any) -> list[tuple[Any, ...]]:
        """The rows of a statement that writes, even if only a lock, once it is as durable as the server can make it."""
        self.unsynchronised = False
        rows = self.execute(query, parameters, binary=True).fetchall()
        self.check()
        return rows

    def check(self) -> None:
        """Count the connection as lost where a standby has not confirmed what was committed on it."""
        if self.unsynchronised:
            self.close()
            raise psycopg.OperationalError("the synchronous standby has not confirmed")


def connect(location: Location) -> Link:
    """A connection of the caller's own."""
    link = Link.connect(location.conninfo, autocommit=True)
    try:
        _ready(location, link)
    except BaseException:
        link.close()
        raise
    return link


def _ready(location: Location, link: Link) -> None:
    link.add_notice_handler(partial(_noticed, weakref.ref(link)))
    row = link.execute(_SETTINGS, (f"{LOCK_SECONDS}s",)).fetchone()
    assert row is not None
    if row[2] not in _DURABLE:
        link.execute("SET synchronous_commit = on")
    if row[3] == "off":
        raise StoreUnavailable(f"{location} runs with fsync = off: what it acknowledges can be lost")


def _noticed(link: "weakref.ref[Link]", notice: psycopg.errors.Diagnostic) -> None:
    # A commit that was cancelled while it waited for the standby is reported as done, with no more than this warning,
    # which may come in any language.
    if notice.source_function == "SyncRepWaitForLSN" and (one := link()) is not None:
        one.unsynchronised = True


def _open_still(link: Link) -> None:
    # Whether the server has hung up while nobody looked; asking it would cost a round trip each time.
    poll = select.poll()
    poll.register(link.fileno(), select.POLLIN)
    if poll.poll(0):
        link.pgconn.consume_input()
        if link.broken:
            raise psycopg.OperationalError("the server has closed the connection")


class Connections:
    """What the vaults of one server share. Thread-safe; refuses in a forked child."""

    # Reentrant: a vault may be collected, and let go of its connections, while this thread holds it.
    _gate = threading.RLock()
    _shared: ClassVar[dict[tuple[str, int], "Connections"]] = {}

    def __init__(self, location: Location) -> None:
        self._location = location
        self._users = 0
        self._listener: Listener | None = None
        self._pool: ConnectionPool[Link] = ConnectionPool(
            location.conninfo,
            connection_class=Link,
            kwargs={"autocommit": True},
            min_size=1,
            max_size=location.pool,
            open=True,
            configure=partial(_ready, location),
            check=_open_still,
            num_workers=1,
            name="ironsecrets",
        )

    @classmethod
    def to(cls, location: Location) -> "Connections":
        """Those of this server, made where there are none. Whoever asks lets go of them by :meth:`close`."""
        key = (location.conninfo, location.pool)
        with cls._gate:
            known = cls._shared.get(key)
        if known is None:
            with translated(location):
                # A pool goes on trying and does not say why it fails; a connection says it at once.
                connect(location).close()
        with cls._gate:
            found = cls._shared.get(key)
            if found is None:
                found = cls._shared[key] = cls(location)
            found._users += 1
            return found

    @contextmanager
    def one(self, deadline: float) -> Generator[Link]:
        """A connection for a while; waits for one until ``deadline``, by the monotonic clock."""
        try:
            link = self._pool.getconn(timeout=max(SHORTEST_WAIT, deadline - time.monotonic()))
        except PoolTimeout:
            connect(self._location).close()
            raise
        try:
            yield link
        finally:
            self._pool.putconn(link)

    def listener(self) -> Listener:
        """The listener, which listens from the first call on."""
        with self._gate:
            if self._listener is None:
                self._listener = Listener(self._location)
            return self._listener

    def close(self) -> None:
        """Let go of them; the last one closes them."""
        with self._gate:
            self._users -= 1
            if self._users:
                return
            del self._shared[self._location.conninfo, self._location.pool]
        if self._listener is not None:
            self._listener.close()
        self._pool.close(timeout=1.0)

    @classmethod
    def abandon(cls) -> None:
        """In a forked child: never speak on what was inherited, and never let it be closed."""
        cls._gate = threading.RLock()
        _inherited.extend(cls._shared.values())
        cls._shared = {}


_inherited: list[Connections] = []
os.register_at_fork(after_in_child=Connections.abandon)
