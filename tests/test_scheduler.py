"""The scheduler: on a thread, from cron, and in several processes that embed one file."""

import json
import multiprocessing
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

import ironsecrets
from interpreters.genesis import World
from interpreters.scheduler import Pass
from properties.worlds import MASTER_KEY, SeededEntropy, SetClock
from tests.conftest import COMMAND, Command, Opener

MONTH = timedelta(days=30)
DAY = 86_400_000_000


def until(done: Callable[[], object], seconds: float = 15) -> None:
    """Wait for what another thread or process does."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def filled(vault: ironsecrets.Vault, count: int) -> None:
    operator = vault.operator("olga")
    for number in range(count):
        operator.put(f"n/{number}", "first", environment="e")
        operator.rotation.set(f"n/{number}", environment="e", every=MONTH, rotator="generated")


def test_on_a_thread(opened: Opener) -> None:
    """What comes due while it waits is rotated, and a live lease sees it at its next use."""
    clock = SetClock()
    vault = opened(world=World(clock=clock, entropy=SeededEntropy()))
    filled(vault, 2)
    vault.operator("olga").grant("agent_a", "n/*", environment="e", ttl=timedelta(days=365))
    lease = vault.acting_for("agent_a").lease("n/0", environment="e")
    passes: list[Pass] = []
    with vault.scheduler(interval=timedelta(seconds=0.05), heard=passes.append) as scheduler:
        until(lambda: passes)
        assert not passes[0].rotated
        assert passes[0].next_at == clock.time + 30 * DAY
        assert lease.text() == "first"
        clock.time += 31 * DAY
        until(lambda: any(one.rotated for one in passes))
        assert lease.text() != "first"
    scheduler.close()
    assert sum(len(one.rotated) for one in passes) == 2, "once each"
    assert scheduler.error is None
    assert {entry["principal"]["id"] for entry in commands(vault, "rotation-finish")} == {"scheduler"}


def commands(vault: ironsecrets.Vault, kind: str) -> list[dict[str, dict[str, str]]]:
    found = (json.loads(raw) for raw in vault.entries())
    return [entry for entry in found if entry["command"]["type"] == kind]


def test_a_listener_that_raises_and_a_vault_that_closes(opened: Opener, caplog: pytest.LogCaptureFixture) -> None:
    vault = opened()
    passes: list[Pass] = []

    def heard(done: Pass) -> None:
        passes.append(done)
        raise RuntimeError("a value")

    scheduler = vault.scheduler(interval=timedelta(seconds=0.05), heard=heard).start()
    until(lambda: len(passes) > 1)
    assert "RuntimeError" in caplog.text
    assert "a value" not in caplog.text
    vault.close()
    until(lambda: scheduler.error is not None)
    assert isinstance(scheduler.error, ironsecrets.VaultClosed)
    scheduler.close()


def test_keys_are_rotated_when_due(opened: Opener) -> None:
    clock = SetClock()
    vault = opened(world=World(clock=clock, entropy=SeededEntropy()))
    filled(vault, 3)
    assert vault.scheduler().run_once().epoch is None
    clock.time += 91 * DAY
    assert vault.scheduler(keys=False).run_once().epoch is None
    assert vault.scheduler().run_once().epoch == 2
    assert vault.scheduler().run_once().epoch is None
    assert isinstance(vault.verify().unwrap(), ironsecrets.Verification)


def leader(path: Path, ready: "multiprocessing.synchronize.Barrier", seconds: float) -> None:
    """A process of its own, whose clock is two months ahead, with a scheduler for so long."""
    from interpreters.world import SystemClock

    class Ahead:
        def now(self) -> int:
            return SystemClock().now() + 60 * DAY

    world = World(clock=Ahead(), entropy=World().entropy)
    with ironsecrets.open_vault(path, master_key=MASTER_KEY, world=world) as vault:
        ready.wait()
        with vault.scheduler(interval=timedelta(seconds=0.05), most=3):
            time.sleep(seconds)


def test_of_several_processes_one_leads(opened: Opener, path: Path) -> None:
    """Three processes embed one file, each with a scheduler: everything due is rotated once."""
    vault = opened()
    filled(vault, 12)
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(3)
    processes = [context.Process(target=leader, args=(path, ready, 6.0)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert len(commands(vault, "rotation-finish")) == 12
    refused = [raw for raw in vault.entries() if json.loads(raw)["verdict"] != "applied"]
    assert not refused, "they did not even get into each other's way"
    assert isinstance(vault.verify().unwrap(), ironsecrets.Verification)


def test_who_does_not_lead_leaves_things_alone(opened: Opener) -> None:
    vault, other = opened(), opened()
    filled(vault, 1)
    hold, held = threading.Event(), threading.Event()

    def slow(task: ironsecrets.Task) -> None:
        held.set()
        hold.wait(20)

    rotators = {"slow": ironsecrets.CallableRotator(set=slow)}
    work = threading.Thread(
        target=lambda: vault.operator("olga").rotation.now("n/0", environment="e", rotator="slow", rotators=rotators)
    )
    work.start()
    held.wait(20)
    assert other.scheduler().run_once() == Pass(led=False)
    operator = other.operator("otto")
    with pytest.raises(ironsecrets.VaultBusy, match="another process is rotating"):
        operator.rotation.now("n/0", environment="e", patience=0.2)
    with operator.reveal("n/0", environment="e") as value:
        assert value.bytes() == b"first", "meanwhile the vault serves"
    operator.put("other", "x", environment="e")
    hold.set()
    work.join()
    assert other.scheduler().run_once().led


def test_the_lock_ends_with_its_process(made: Command) -> None:
    """kill -9 of a leader: the next one leads at once, and goes on where it was."""
    made.ok("put", "k", stdin="old")
    (made.folder / "slow.sh").write_text("cat > /dev/null; [ $1 = set ] && { touch there; sleep 30; }; exit 0\n")
    (made.folder / "slow.toml").write_text('[rotators.slow]\ncommand = ["sh", "slow.sh"]\n')
    (made.folder / "quick.toml").write_text('[rotators.slow]\ncommand = ["true"]\n')
    made.ok("rotation", "set", "k", "--every", "1d", "--rotator", "slow")
    process = subprocess.Popen(
        [str(COMMAND), "rotation", "now", "k", "--rotators", "slow.toml"], cwd=made.folder, env=made.env
    )
    until(lambda: (made.folder / "there").exists())
    assert "another process is rotating" in made.ok("rotation", "run", "--once").error
    process.kill()
    process.wait()
    done = json.loads(made.ok("rotation", "run", "--once", "--rotators", "quick.toml", "--json").text)
    assert [one["name"] for one in done["rotated"]] == ["k"]


def test_the_command_runs_until_it_is_told_to_end(made: Command) -> None:
    made.ok("put", "k", stdin="old")
    made.ok("rotation", "set", "k", "--cron", "* * * * *", "--rotator", "manual")
    process = subprocess.Popen(
        [str(COMMAND), "rotation", "run", "--interval", "1s"],
        cwd=made.folder,
        env=made.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(3)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert err.count("due since") <= 1, "said once, not at every pass"
    assert out == ""


def test_a_pass_from_cron(made: Command) -> None:
    assert made.ok("rotation", "run", "--once").text == ""
    made.ok("put", "token", "--expires-in", "1s", stdin="old")
    made.ok("put", "endless", stdin="old")
    assert "never due" in made.ok("rotation", "set", "endless", "--preset", "oauth-token").error
    made.ok("rotation", "clear", "endless")
    done = made.ok("rotation", "set", "token", "--preset", "oauth-token", "--rotator", "generated")
    assert "never due" not in done.error
    assert "when it expires" not in made.ok("rotation", "status").text
    assert "5m before it expires, generated" in made.ok("rotation", "status").text
    assert made.ok("rotation", "due").text == "nothing is due\n", "not within a minute of having become current"
    within = json.loads(made.ok("rotation", "due", "--within", "7d", "--json").text)
    assert [(one["name"], one["what"], one["rotator"], one["held"]) for one in within] == [
        ("token", "rotate", "generated", False)
    ]
    assert made.run("rotation", "set", "token", "--before", "5m").status == 2
    assert made.run("rotation", "set", "token", "--every", "soon").status == 2
    made.fails(3, "rotation", "set", "token")
    made.fails(6, "rotation", "set", "missing", "--every", "1d")
    made.fails(3, "rotation", "set", "token", "--every", "30s")
    made.ok("rotation", "set", "token", "--every", "1d", "--on-expiry", "--before", "1h", "--cron", "0 3 * * sun")
    assert "every 1d or at 0 3 * * SUN UTC or 1h before it expires, manual" in made.ok("rotation", "status").text


def test_by_hand(made: Command) -> None:
    made.ok("put", "k", stdin="old")
    made.ok("grant", "agent_a", "k")
    made.ok("rotation", "set", "k", "--preset", "llm-api-key")
    made.fails(3, "rotation", "finish", "k")
    made.fails(3, "rotation", "abort", "k")
    assert "version 2 is pending" in made.ok("rotation", "begin", "k", stdin="new").text
    made.fails(3, "rotation", "begin", "k", stdin="newer")
    made.fails(3, "put", "k", stdin="newer")
    assert "pending" in made.ok("history", "k").text
    assert made.ok("get", "k", "--reveal").text == "old"
    assert made.ok("get", "k", "--reveal", "--version", "2").text == "new"
    made.ok("rotation", "abort", "k")
    assert made.ok("get", "k", "--reveal").text == "old"
    made.fails(3, "get", "k", "--reveal", "--version", "2")
    made.ok("rotation", "begin", "k", stdin="newest")
    made.ok("rotation", "finish", "k")
    assert made.ok("get", "k", "--reveal").text == "newest"
    assert made.ok("get", "k", "--reveal", "--version", "1").text == "old"
    assert made.run("rotation", "begin", "k", "a-value-as-an-argument").status == 2
    assert b"a-value-as-an-argument" not in made.history
    assert "verified" in made.ok("audit", "verify").text
