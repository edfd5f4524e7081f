"""A store whose process dies: the law of every crash is tried with it."""

from typing import Any

from interpreters.store import Batch, Store
from ironsecrets.errors import StoreUnavailable


class Killed(StoreUnavailable):
    """The process ends at this commit, before or after it."""


class Dying:
    """A store that dies at its n-th commit from now on, before it is made or just after."""

    def __init__(self, store: Store, after: int, durable: bool) -> None:
        self._store, self._left, self._durable = store, after, durable

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def find(self, tag: bytes) -> None:
        """A dead process looks nothing up."""
        raise Killed("dead")

    def commit(self, batch: Batch) -> bool:
        self._left -= 1
        if self._left >= 0:
            return self._store.commit(batch)
        if self._left == -1 and self._durable:
            self._store.commit(batch)
        raise Killed("dead")
