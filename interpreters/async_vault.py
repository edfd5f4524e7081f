"""A vault for programs with an event loop: the same names, awaited.

Every call runs whole in a thread (:mod:`interpreters.threaded`; measured against APSW's own async support in
docs/decisions/0013). The vault underneath is the same, with the same laws.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, ParamSpec

from interpreters.async_handles import AsyncAgentHandle, AsyncOperatorHandle, AsyncViewerHandle
from interpreters.doors import create_vault, open_vault
from interpreters.ic_tokens import Authoriser
from interpreters.rotators import Rotator
from interpreters.scheduler import INTERVAL, MOST, Pass, Scheduler
from interpreters.subscriptions import Subscription
from interpreters.threaded import Calls, Facade, threaded
from interpreters.vault import Vault
from ironsecrets.events import Event
from ironsecrets.header import Header
from ironsecrets.state import VaultState

Callback = Callable[[Event], object]
P = ParamSpec("P")


class AsyncSubscription(Facade[Subscription]):
    """Events, told on the event loop, until it is closed."""

    close = threaded(Subscription.close, certain=True)

    async def __aenter__(self) -> "AsyncSubscription":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class AsyncScheduler(Facade[Scheduler]):
    """What rotates values and keys when they are due, on a thread of its own while it is used in an ``async with``."""

    run_once = threaded(Scheduler.run_once)
    close = threaded(Scheduler.close, certain=True)

    async def __aenter__(self) -> "AsyncScheduler":
        self._wrapped.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class AsyncVault(Facade[Vault]):
    """An unlocked vault, awaited. An async context manager."""

    execute = threaded(Vault.execute)
    use_lease = threaded(Vault.use_lease)
    verify = threaded(Vault.verify)
    export = threaded(Vault.export)
    checkpoint = threaded(Vault.checkpoint)
    snapshot = threaded(Vault.snapshot)
    slot_of = threaded(Vault.slot_of)
    sinks = threaded(Vault.sinks)
    prove = threaded(Vault.prove)
    consistency = threaded(Vault.consistency)
    shown_to = threaded(Vault.shown_to)
    account = threaded(Vault.account)
    backup = threaded(Vault.backup)
    archive = threaded(Vault.archive)
    check_segments = threaded(Vault.check_segments)
    compact = threaded(Vault.compact)
    migrate = threaded(Vault.migrate)

    def operator(self, name: str) -> AsyncOperatorHandle:
        """An operator's handle; ``name`` stands in the log."""
        return AsyncOperatorHandle(self._wrapped.operator(name), self._calls)

    def viewer(self, name: str) -> AsyncViewerHandle:
        """A viewer's handle; ``name`` stands in the log."""
        return AsyncViewerHandle(self._wrapped.viewer(name), self._calls)

    async def agent(self, token: str, *, authoriser: Authoriser | None = None) -> AsyncAgentHandle:
        """The handle of the agent that holds ``token``."""
        found = await self._calls.run(lambda: self._wrapped.agent(token, authoriser=authoriser))
        return AsyncAgentHandle(found, self._calls)

    def acting_for(self, agent: str, *, permissions: Sequence[str] = ()) -> AsyncAgentHandle:
        """An agent's handle without a token: the host vouches for who it is."""
        return AsyncAgentHandle(self._wrapped.acting_for(agent, permissions=permissions), self._calls)

    async def entries(self, start: int = 0) -> Sequence[bytes]:
        """The log's entries from number ``start``, each as the exact bytes that were hashed."""
        return await self._calls.run(lambda: list(self._wrapped.entries(start)))

    async def subscribe(
        self, callback: Callback, *, interval: timedelta = timedelta(milliseconds=200)
    ) -> AsyncSubscription:
        """Call ``callback`` on this event loop with what happens from now on, in any process."""
        loop = asyncio.get_running_loop()

        def told(event: Event) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(callback, event)

        made = await self._calls.run(lambda: self._wrapped.subscribe(told, interval=interval))
        return AsyncSubscription(made, self._calls)

    def scheduler(
        self,
        name: str = "scheduler",
        *,
        rotators: Mapping[str, Rotator] | None = None,
        most: int = MOST,
        interval: timedelta = INTERVAL,
        accept_clock: bool = False,
        keys: bool = True,
        heard: Callable[[Pass], object] | None = None,
    ) -> AsyncScheduler:
        """As of :class:`ironsecrets.Vault`: a thread of its own rotates, while it is used in an ``async with``."""
        made = self._wrapped.scheduler(
            name,
            rotators=rotators,
            most=most,
            interval=interval,
            accept_clock=accept_clock,
            keys=keys,
            heard=heard,
        )
        return AsyncScheduler(made, self._calls)

    @property
    async def state(self) -> VaultState:
        """The state as of now, a frozen value: ``await vault.state``."""
        return await self._calls.run(lambda: self._wrapped.state)

    @property
    def header(self) -> Header:
        """What stands in clear."""
        return self._wrapped.header

    def verifier_key(self) -> str:
        """The public key that checkpoints are checked with, as ``name+hash+key``."""
        return self._wrapped.verifier_key()

    @property
    def sync(self) -> Vault:
        """The vault underneath, for code that runs in threads."""
        return self._wrapped

    async def close(self) -> None:
        """Wipe the keys and let go of the store. Closing twice is no error."""
        await asyncio.shield(asyncio.to_thread(self._wrapped.close))
        self._calls.close()

    async def __aenter__(self) -> "AsyncVault":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _awaited(door: Callable[P, Vault], doc: str) -> Callable[P, Coroutine[Any, Any, AsyncVault]]:
    async def opened(*args: P.args, **kwargs: P.kwargs) -> AsyncVault:
        calls = Calls()
        try:
            return AsyncVault(await calls.run(lambda: door(*args, **kwargs)), calls)
        except BaseException:
            calls.close()
            raise

    opened.__doc__ = doc
    return opened


open_vault_async = _awaited(open_vault, "Open a vault, as :func:`ironsecrets.open_vault` does, in a thread.")
create_vault_async = _awaited(create_vault, "Make a vault, as :func:`ironsecrets.create_vault` does, in a thread.")
