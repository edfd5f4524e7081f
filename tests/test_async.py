"""The asyncio facade: the same names, a loop that never waits, and cancellation that loses nothing."""

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from returns.result import Success

import ironsecrets
from interpreters.async_handles import AsyncRotationHandle
from interpreters.rotation_handle import RotationHandle
from properties.worlds import MASTER_KEY
from tests.conftest import Opener

ENV = "production"


def running(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    def run(path: Path) -> None:
        asyncio.run(test(path))  # pyright: ignore

    run.__name__ = test.__name__
    return run


async def prepared(path: Path) -> ironsecrets.AsyncVault:
    vault = await ironsecrets.create_vault_async(path, master_key=MASTER_KEY)
    operator = vault.operator("alice")
    assert await operator.put("openai/key", "sk-value", environment=ENV) == 1
    await operator.grant("agent_one", "openai/*", environment=ENV, ttl=timedelta(minutes=5), max_ttl=timedelta(hours=1))
    return vault


@running
async def test_the_main_job(path: Path) -> None:
    async with await prepared(path) as vault:
        operator = vault.operator("alice")
        token = (await operator.enroll("agent_one")).text()
        agent = await vault.agent(token)
        async with agent.lease("openai/key", environment=ENV) as lease:
            assert await lease.text() == "sk-value"
            assert await lease.bytes() == b"sk-value"
            assert bytes(await lease.view()) == b"sk-value"
            assert (lease.name, lease.environment, lease.version) == ("openai/key", ENV, 1)
            await lease.renew()
        lease = await agent.lease("openai/key", environment=ENV)
        await lease.release()
        with pytest.raises(ironsecrets.Refused, match="no grant"):
            await agent.lease("billing/key", environment=ENV)
        key = await agent.request_access("billing/key", environment=ENV, reason="month end")
        assert [one.id for one in await operator.requests()] == [key]
        await operator.seal()
        with pytest.raises(ironsecrets.Refused, match="sealed"):
            await agent.lease("openai/key", environment=ENV)
        await operator.unseal()
        assert isinstance(await vault.verify(), Success)
        assert (await vault.state).log.size == len(await vault.entries())
        masked = await vault.viewer("vera").masked("openai/key", environment=ENV)
        assert "value" not in masked
    async with await ironsecrets.open_vault_async(path, master_key=MASTER_KEY) as again:
        assert len((await again.state).secrets.by_id) == 1
    with pytest.raises(ironsecrets.VaultClosed):
        await again.verify()
    with pytest.raises(ironsecrets.CannotUnlock):
        await ironsecrets.open_vault_async(path, master_key=bytes(32))


@running
async def test_events_come_on_the_loop(path: Path) -> None:
    async with await prepared(path) as vault:
        heard: asyncio.Queue[ironsecrets.Event] = asyncio.Queue()
        loop = threading.get_ident()

        def hear(event: ironsecrets.Event) -> None:
            assert threading.get_ident() == loop
            heard.put_nowait(event)

        async with await vault.subscribe(hear, interval=timedelta(milliseconds=10)):
            await vault.operator("alice").put("openai/key", "new", environment=ENV)
            event = await asyncio.wait_for(heard.get(), 20)
        assert (event.kind, event.version) == ("rotate", 2)
        async with vault.scheduler() as scheduler:
            await scheduler.run_once()


def test_it_has_every_name_of_the_vault_and_its_handles() -> None:
    def public(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    assert public(ironsecrets.OperatorHandle) <= public(ironsecrets.AsyncOperatorHandle) | {"rotation"}
    assert public(ironsecrets.ViewerHandle) <= public(ironsecrets.AsyncViewerHandle)
    assert public(RotationHandle) <= public(AsyncRotationHandle)
    leases = public(ironsecrets.LeaseHandle) - {"forget", "holder"}
    assert leases <= public(ironsecrets.AsyncLeaseHandle) | {"seq"}
    assert public(ironsecrets.AgentHandle) <= public(ironsecrets.AsyncAgentHandle) | {
        "requests_auth",
        "settings_source",
    }
    assert public(ironsecrets.Vault) <= public(ironsecrets.AsyncVault) | {"leasable", "calling_agent", "now"}
    assert ironsecrets.AsyncOperatorHandle.put.__doc__ == ironsecrets.OperatorHandle.put.__doc__
    assert inspect.iscoroutinefunction(ironsecrets.open_vault_async)


@running
async def test_the_loop_never_waits_for_the_store(path: Path) -> None:
    """Another thread holds the vault's lock for half a second; the loop goes on meanwhile."""
    async with await prepared(path) as vault:
        lock = vault.sync._engine.lock
        held, done = threading.Event(), threading.Event()

        def hold() -> None:
            with lock:
                held.set()
                done.wait(20)

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait(20)
        turns, longest, last = 0, 0.0, time.perf_counter()
        asking = asyncio.ensure_future(vault.acting_for("agent_one").lease("openai/key", environment=ENV)._open())
        until = last + 0.5
        while time.perf_counter() < until:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            longest, last, turns = max(longest, now - last), now, turns + 1
        assert not asking.done()
        assert turns > 20, f"the loop stood still ({turns} turns, {longest:.3f} s)"
        done.set()
        await (await asking).release()
        holder.join()


async def settled(vault: ironsecrets.AsyncVault, size: int) -> None:
    """Until nothing more is written."""
    for _ in range(400):
        await asyncio.sleep(0.01)
        if not (await vault.state).leases.by_id and (await vault.state).log.size == size:
            return
        size = (await vault.state).log.size


@running
async def test_cancelling_at_any_moment_leaves_no_lease(path: Path) -> None:
    async with await prepared(path) as vault:
        agent = vault.acting_for("agent_one")

        async def work() -> None:
            async with agent.lease("openai/key", environment=ENV) as lease:
                await lease.text()

        for step in range(60):
            task = asyncio.ensure_future(work())
            await asyncio.sleep(step * 0.00005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
                raise asyncio.CancelledError
        await settled(vault, 0)
        assert not (await vault.state).leases.by_id
        assert isinstance(await vault.verify(), Success)


@running
async def test_what_is_cancelled_before_it_begins_never_happens(path: Path) -> None:
    async with await prepared(path) as vault:
        before = (await vault.state).log.size
        lock = vault.sync._engine.lock
        held, done = threading.Event(), threading.Event()

        def hold() -> None:
            with lock:
                held.set()
                done.wait(20)

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait(20)
        operator = vault.operator("alice")
        tasks = [asyncio.ensure_future(operator.put(f"k/{n}", "x", environment=ENV)) for n in range(20)]
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        done.set()
        holder.join()
        await vault.operator("alice").put("last", "x", environment=ENV)
        written = (await vault.state).log.size - before - 1
        assert written <= 4, "only those that had begun, one for each worker"
        assert isinstance(await vault.verify(), Success)


@running
async def test_many_at_once(path: Path) -> None:
    async with await prepared(path) as vault:
        agent = vault.acting_for("agent_one")

        async def once() -> str:
            async with agent.lease("openai/key", environment=ENV) as lease:
                return await lease.text()

        assert set(await asyncio.gather(*(once() for _ in range(100)))) == {"sk-value"}
        assert not (await vault.state).leases.by_id
        assert isinstance(await vault.verify(), Success)


def test_a_slow_value_that_nobody_takes_is_wiped(opened: Opener) -> None:
    from interpreters.threaded import let_go

    vault = opened()
    value = vault.operator("o").enroll("agent_one")
    let_go(value)
    assert value.wiped
    closed: list[Any] = []

    class Closing:
        def close(self) -> None:
            closed.append(self)

    let_go(Closing())
    let_go(7)
    assert len(closed) == 1
