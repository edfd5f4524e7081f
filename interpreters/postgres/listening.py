"""What other machines tell through ``NOTIFY``: that a vault has changed, so that nobody waits for the bound to end."""

import threading

import psycopg

from interpreters.postgres.location import Location
from interpreters.threads import quiet_thread

CHANNEL = "ironsecrets"
PAUSE = 1.0
LOOK = 0.5
_WITHOUT = (psycopg.errors.FeatureNotSupported, psycopg.errors.SyntaxError)


class Listener:
    """A thread with a connection of its own. While it has none, or the server knows no ``LISTEN``, only the bound
    holds."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._heard: dict[str, int] = {}
        # Counts the times that something may have been said with nobody to hear it.
        self._missed = 0
        self._ended = threading.Event()
        self._thread = quiet_thread(self._listen, "ironsecrets listener")

    def heard(self, topic: str) -> tuple[int, int]:
        """How often something may have been missed, and the size that ``topic`` was last told to have."""
        return self._missed, self._heard.get(topic, 0)

    def close(self) -> None:
        """Listen no more."""
        self._ended.set()

    def _listen(self) -> None:
        while not self._ended.is_set():
            try:
                self._connected()
            except _WITHOUT:
                return
            except psycopg.Error:
                self._ended.wait(PAUSE)

    def _connected(self) -> None:
        with psycopg.connect(self._location.conninfo, autocommit=True) as connection:
            connection.execute("LISTEN ironsecrets")
            self._missed += 1
            while not self._ended.is_set():
                for heard in connection.notifies(timeout=LOOK):
                    topic, _, size = heard.payload.rpartition("/")
                    if size.isascii() and size.isdigit():
                        self._heard[topic] = int(size)
                    if self._ended.is_set():
                        return
