"""``vault.subscribe``: told of what any process does, in order, and of no value."""

import threading
import time
from datetime import timedelta

import pytest

import ironsecrets
from interpreters.genesis import World
from interpreters.world import SystemEntropy
from properties.worlds import SetClock
from tests.conftest import Opener
from tests.test_scheduler import until

FAST = timedelta(milliseconds=10)


def test_rotate_revoke_and_expire_from_another_process(opened: Opener) -> None:
    clock = SetClock()
    ours, theirs = (opened(world=World(clock=clock, entropy=SystemEntropy())) for _ in range(2))
    operator = theirs.operator("olga")
    operator.put("k", "first-value-of-k", environment="e")
    grant = operator.grant("agent_a", "k", environment="e", ttl=timedelta(minutes=1))
    other = operator.grant("agent_b", "**", environment="e", ttl=timedelta(minutes=1))
    agent = ours.acting_for("agent_a")
    heard: list[ironsecrets.Event] = []
    with ours.subscribe(heard.append, interval=FAST):
        lease, brief = agent.lease("k", environment="e"), ours.acting_for("agent_b").lease("k", environment="e")
        operator.put("new", "x", environment="e")
        operator.put("k", "second-value-of-k", environment="e")
        operator.rotation.now("k", environment="e", rotator="generated")
        operator.rollback("k", environment="e", to=1)
        operator.revoke(grant)
        until(lambda: len(heard) == 4)
        clock.time += 61_000_000
        until(lambda: len(heard) == 5)
        operator.revoke(other)
        until(lambda: len(heard) == 6)
    told = [(event.kind, event.name, event.version, event.agent, event.leases) for event in heard]
    assert told == [
        ("rotate", "k", 2, None, ()),
        ("rotate", "k", 3, None, ()),
        ("rotate", "k", 1, None, ()),
        ("revoke", None, None, "agent_a", (lease.id,)),
        ("expire", "k", None, "agent_b", (brief.id,)),
        ("revoke", None, None, "agent_b", ()),
    ]
    assert "value-of-k" not in repr(heard)
    operator.put("k", "after the end", environment="e")
    time.sleep(0.1)
    assert len(heard) == 6, "closed: no more"


def test_a_callback_that_raises_misses_nothing_else(opened: Opener, caplog: pytest.LogCaptureFixture) -> None:
    vault = opened()
    operator = vault.operator("olga")
    operator.put("k", "v0", environment="e")
    heard: list[int | None] = []

    def callback(event: ironsecrets.Event) -> None:
        heard.append(event.version)
        raise KeyError("secret-text")

    with vault.subscribe(callback, interval=FAST):
        for number in range(3):
            operator.put("k", f"v{number}", environment="e")
        until(lambda: len(heard) == 3)
    assert heard == [2, 3, 4]
    assert "KeyError" in caplog.text
    assert "secret-text" not in caplog.text


def test_a_callback_may_use_the_vault_and_close_its_subscription(opened: Opener) -> None:
    vault = opened()
    operator = vault.operator("olga")
    operator.put("k", "v1", environment="e")
    operator.grant("agent_a", "k", environment="e")
    lease = vault.acting_for("agent_a").lease("k", environment="e")
    seen: list[str] = []

    def callback(event: ironsecrets.Event) -> None:
        seen.append(lease.text())
        subscription.close()

    subscription = vault.subscribe(callback, interval=FAST)
    operator.put("k", "v2", environment="e")
    until(lambda: seen)
    assert seen == ["v2"]
    operator.put("k", "v3", environment="e")
    time.sleep(0.1)
    assert seen == ["v2"]
    subscription.close()


def test_what_ends_a_subscription(opened: Opener) -> None:
    vault = opened()
    with vault.subscribe(print, interval=FAST) as subscription:
        before = threading.active_count()
        vault.close()
        until(lambda: subscription.error is not None)
        assert isinstance(subscription.error, ironsecrets.VaultClosed)
        until(lambda: threading.active_count() < before)
    with pytest.raises(ironsecrets.VaultClosed):
        vault.subscribe(print)
