"""The same method, awaited: it runs whole in a thread, so the event loop never waits for the store.

A call that is cancelled before it began never happens. One that has begun goes on to its end, since a command is
decided and durable or it is not; what it gave then is let go of: a lease is released, a value wiped.
"""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from interpreters.lease_handle import LeaseHandle
from interpreters.outcome import Outcome
from ironsecrets.errors import VaultClosed, VaultError
from ironsecrets.sensitive import Sensitive

WORKERS = 4

S = TypeVar("S")
R = TypeVar("R")
P = ParamSpec("P")


def let_go(given: object) -> None:
    """End or wipe what nobody will take any more."""
    match given:
        case LeaseHandle():
            given.release()
        case Sensitive():
            given.wipe()
        case Outcome(disclosed=Sensitive() as value):
            value.wipe()
        case _:
            close = getattr(given, "close", None)
            if callable(close):
                close()


class Calls:
    """Where the calls of one vault run."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(WORKERS, thread_name_prefix="ironsecrets")

    async def run(self, call: Callable[[], R], *, certain: bool = False) -> R:
        """What ``call`` gives. With ``certain`` it happens even if the caller is cancelled."""
        try:
            future = self._executor.submit(contextvars.copy_context().run, call)
        except RuntimeError:
            raise VaultClosed("this vault is closed; open it again") from None
        waiting = asyncio.wrap_future(future)
        if certain:
            return await asyncio.shield(waiting)
        try:
            return await waiting
        except asyncio.CancelledError:
            if not future.cancel():
                future.add_done_callback(_undo)
            raise

    def close(self) -> None:
        """Take no more calls; those that run go on."""
        self._executor.shutdown(wait=False)


def _undo(future: "Future[Any]") -> None:
    if not future.cancelled() and future.exception() is None:
        try:
            let_go(future.result())
        except VaultError:
            # The store does not answer: the lease ends by itself, and its value was wiped.
            return


class Facade(Generic[S]):
    """Somebody's methods, awaited."""

    def __init__(self, wrapped: S, calls: Calls) -> None:
        self._wrapped, self._calls = wrapped, calls

    def __repr__(self) -> str:
        return f"<async {self._wrapped!r}>"


class threaded(Generic[S, P, R]):
    """The wrapped object's method of the same name, with the same arguments, awaited."""

    def __init__(self, method: Callable[Concatenate[S, P], R], *, certain: bool = False) -> None:
        self._method, self._certain = method, certain
        self.__doc__ = method.__doc__

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> "threaded[S, P, R]": ...

    @overload
    def __get__(self, instance: Facade[S], owner: type[Any]) -> Callable[P, Coroutine[Any, Any, R]]: ...

    def __get__(
        self, instance: Facade[S] | None, owner: type[Any]
    ) -> "threaded[S, P, R] | Callable[P, Coroutine[Any, Any, R]]":
        if instance is None:
            return self
        wrapped, calls, method = instance._wrapped, instance._calls, self._method  # pyright: ignore[reportPrivateUsage]

        async def call(*args: P.args, **kwargs: P.kwargs) -> R:
            return await calls.run(lambda: method(wrapped, *args, **kwargs), certain=self._certain)

        call.__doc__ = method.__doc__
        return call
