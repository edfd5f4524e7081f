"""Keys and slots through the installed command, and under kill -9."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import attrs
import pytest
from returns.result import Success

import ironsecrets
from interpreters import key_rotation
from interpreters.derivation import argon2id, calibrated_cost, fresh_cost
from interpreters.sqlite_store import SqliteStore
from interpreters.store import Batch
from ironsecrets.sensitive import Sensitive
from properties.worlds import MASTER_KEY
from tests.conftest import MASTER_KEY_TEXT, Command, Opener


def everywhere(folder: Path, needle: bytes) -> list[str]:
    return [file.name for file in folder.iterdir() if file.is_file() and needle in file.read_bytes()]


def wrapped_keys(path: Path) -> tuple[bytes, ...]:
    """The base64 of what the header wraps, as it stands in the file: epochs', then slots'."""
    with ironsecrets.open_vault(path, master_key=MASTER_KEY) as vault:
        header = vault.header
    return tuple(one.wrapped.encode() for one in (*header.epochs, *header.slots))


def test_rotate_key(made: Command) -> None:
    for number in range(7):
        made.ok("put", f"k/{number}", stdin=f"value {number}")
    (old, _) = wrapped_keys(made.folder / "test.vault")
    assert everywhere(made.folder, old) == ["test.vault"]
    assert "epoch 2 is current; 7 secrets" in made.ok("rotate-key", "--batch", "3").text
    assert everywhere(made.folder, old) == []
    assert json.loads(made.ok("rotate-key", "--json").text) == {"epoch": 3, "rewrapped": 7, "resumed": False}
    for number in range(7):
        assert made.ok("get", f"k/{number}", "--reveal").text == f"value {number}"
    assert "verified" in made.ok("audit", "verify").text
    types = [json.loads(line)["command"]["type"] for line in made.ok("audit", "log", "--json").text.splitlines()]
    assert types[8:13] == ["open-epoch", "rewrap", "rewrap", "rewrap", "retire-epoch"]


ROTATOR = """
import sys, ironsecrets
with ironsecrets.open_vault(sys.argv[1], master_key=bytes.fromhex(sys.argv[2])) as vault:
    print("open", flush=True)
    vault.operator("o").rotate_key(batch=100)
"""


@pytest.mark.timeout(3600 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 300)
def test_kill_9_at_random_moments_of_a_rotation(path: Path, opened: Opener) -> None:
    """A rotation of many secrets is killed again and again; each time every value is there, and it goes on.

    With ``HYPOTHESIS_PROFILE=deep``: 50 kills of 20,000 secrets.
    """
    vault = opened()
    operator = vault.operator("o")
    count, kills = (20_000, 50) if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else (2000, 12)
    for number in range(count):
        operator.put(f"k/{number}", f"value {number}", environment="development")
    vault.close()
    (old, _) = wrapped_keys(path)
    interrupted = 0
    chance = random.Random(7)
    for _ in range(kills):
        process = subprocess.Popen([sys.executable, "-c", ROTATOR, str(path), MASTER_KEY.hex()], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.random() * count / 12_000)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        with ironsecrets.open_vault(path, master_key=MASTER_KEY) as again:
            interrupted += len(again.state.epochs) > 1
            assert isinstance(again.verify(), Success)
            for number in chance.sample(range(count), 20):
                with again.operator("o").reveal(f"k/{number}", environment="development") as value:
                    assert value.bytes() == f"value {number}".encode()
    assert interrupted
    with ironsecrets.open_vault(path, master_key=MASTER_KEY) as again:
        again.operator("o").rotate_key()
        assert len(again.state.epochs) == 1
        assert isinstance(again.verify(), Success)
    assert everywhere(path.parent, old) == []


def test_slots(made: Command) -> None:
    made.ok("put", "k", stdin="value")
    made.env["IRONSECRETS_NEW_PASSPHRASE"] = "second way in"
    added = json.loads(made.ok("slot", "add", "--json").text)
    assert added["kind"] == "passphrase"
    recovery = json.loads(made.ok("slot", "add", "--recovery-key", "--json").text)
    slots = {one["kind"]: one["slot"] for one in json.loads(made.ok("slot", "list", "--json").text)}
    assert slots.keys() == {"master-key", "passphrase", "recovery-key"}
    del made.env["IRON_SECRETS_MASTER_KEY"]
    for env in (
        {"IRONSECRETS_PASSPHRASE": "second way in"},
        {"IRONSECRETS_RECOVERY_KEY": recovery["recovery_key"].lower()},
    ):
        assert made.run("get", "k", "--reveal", env=env).out == b"value"
    assert "checksum" in made.fails(
        4, "list", env={"IRONSECRETS_RECOVERY_KEY": recovery["recovery_key"][:-1] + "A"[:1] + "B"}
    )
    made.env["IRON_SECRETS_MASTER_KEY"] = MASTER_KEY_TEXT
    with ironsecrets.open_vault(made.folder / "test.vault", master_key=MASTER_KEY) as vault:
        wrapped = next(one.wrapped for one in vault.header.slots if one.id == added["slot"]).encode()
    assert everywhere(made.folder, wrapped) == ["test.vault"]
    assert "removed" in made.ok("slot", "remove", added["slot"]).text
    assert everywhere(made.folder, wrapped) == []
    assert "not with a passphrase" in made.fails(4, "list", env={"IRONSECRETS_PASSPHRASE": "second way in"})
    assert "no such slot" in made.fails(6, "slot", "remove", added["slot"])
    made.ok("slot", "remove", slots["recovery-key"])
    assert "last slot" in made.fails(3, "slot", "remove", slots["master-key"])
    assert made.ok("get", "k", "--reveal").text == "value"
    assert "second way in" not in made.history.decode()
    made.ok("audit", "verify")


def test_changing_a_passphrase_and_its_cost(command: Command) -> None:
    del command.env["IRON_SECRETS_MASTER_KEY"]
    command.env["IRONSECRETS_PASSPHRASE"] = "first"
    command.ok("init")
    command.ok("put", "k", stdin="value")
    changed = command.run("slot", "change", "--calibrate", "0.3", env={"IRONSECRETS_NEW_PASSPHRASE": "other"})
    assert changed.status == 0, changed.error
    assert "wrong passphrase" in command.fails(4, "list")
    command.env["IRONSECRETS_PASSPHRASE"] = "other"
    assert command.ok("get", "k", "--reveal").text == "value"
    assert "one of" in command.run("slot", "change", "--recovery-key", "--master-key").error


def test_rekey(made: Command) -> None:
    made.ok("put", "k", stdin="value")
    made.env["IRONSECRETS_NEW_PASSPHRASE"] = "second"
    added = json.loads(made.ok("slot", "add", "--json").text)["slot"]
    before = wrapped_keys(made.folder / "test.vault")
    assert "needs its credential" in made.fails(4, "rekey")
    assert json.loads(made.ok("rekey", "--drop", added, "--json").text) == {"generation": 2}
    for old in before:
        assert everywhere(made.folder, old) == []
    assert made.ok("get", "k", "--reveal").text == "value"
    assert "verified" in made.ok("audit", "verify").text
    made.ok("rotate-key")
    assert made.ok("get", "k", "--reveal").text == "value"
    assert json.loads(made.ok("status", "--json").text)["root_generation"] == 2


def test_status_says_what_is_due_and_weak(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    weak = fresh_cost(bytes(16))
    ironsecrets.create_vault(
        command.folder / "test.vault", passphrase="p", cost=attrs.evolve(weak, memory=19 * 1024, passes=1)
    ).close()
    del command.env["IRON_SECRETS_MASTER_KEY"]
    command.env["IRONSECRETS_PASSPHRASE"] = "p"
    status = command.ok("status").text
    assert "below today's default" in status
    assert "every 90d" in status
    assert json.loads(command.ok("status", "--json").text)["key_rotation_due"] is None


def test_rotating_when_due(path: Path) -> None:
    """By age, by count, or because one is unfinished; time is a value."""
    from ironsecrets.epochs import DAY, DEFAULT_AGE, WRAP_LIMIT, Epoch, due

    young = Epoch(created_at=1000, live=1, number=3, wraps=5)
    assert due((young,), DEFAULT_AGE, 1000 + 90 * DAY - 1) is None
    assert due((young,), DEFAULT_AGE, 1000 + 90 * DAY) == "age"
    assert due((young,), None, 1000 + 9000 * DAY) is None
    assert due((attrs.evolve(young, wraps=WRAP_LIMIT),), None, 1000) == "wraps"
    assert due((young, attrs.evolve(young, number=4)), None, 1000) == "unfinished"


def test_rotating_from_cron(made: Command) -> None:
    made.ok("put", "k", stdin="value")
    assert made.ok("rotate-key", "--if-due", "--every", "30d").text == "not due\n"
    assert "every 30d" in made.ok("status").text
    assert "epoch 2" in made.ok("rotate-key").text
    assert json.loads(made.ok("rotate-key", "--if-due", "--json").text)["rewrapped"] == 0


def test_calibration_spends_about_the_time() -> None:
    """Time is a value: a clock that charges for passes and memory, as Argon2id does."""
    spent = 0.0

    class Clock:
        calls = 0

        def __call__(self) -> float:
            return spent

    def charged(passphrase: object, salt: bytes, cost: object) -> bytearray:
        nonlocal spent
        spent += cost.passes * cost.memory / (64 * 1024) * 0.03  # type: ignore
        return bytearray(32)

    import interpreters.derivation as derivation

    original = derivation.argon2id
    derivation.argon2id = charged  # type: ignore
    try:
        for seconds in (0.01, 0.1, 0.5, 2.0, 9.0):
            cost = calibrated_cost(bytes(16), seconds, Clock())
            takes = cost.passes * cost.memory / (64 * 1024) * 0.03
            assert cost.passes >= 3
            assert takes >= min(seconds / 1.3, 0.9)
            assert takes <= max(2.1 * seconds, 0.1)
    finally:
        derivation.argon2id = original
    assert len(argon2id(Sensitive("x"), bytes(16), fresh_cost(bytes(16)))) == 32


def test_another_process_follows_rotation_and_rekey(path: Path, opened: Opener) -> None:
    vault, other = opened(), opened()
    vault.operator("o").put("k", "value", environment="development")
    vault.operator("o").rotate_key()
    assert other.operator("p").put("k", "second", environment="development") == 2
    with vault.operator("o").reveal("k", environment="development") as value:
        assert value.bytes() == b"second"
    from interpreters.derivation import master_key_credential

    vault.operator("o").rekey(credentials=[master_key_credential(MASTER_KEY)])
    assert other.operator("p").put("k", "third", environment="development") == 3
    assert isinstance(other.verify(), Success)
    vault.operator("o").rotate_key()
    with pytest.raises(ironsecrets.VaultClosed, match="open the vault again"):
        other.operator("p").put("k", "fourth", environment="development")
    assert vault.operator("o").put("k", "fourth", environment="development") == 4
    assert isinstance(vault.verify(), Success)


def test_two_who_rotate_keys_at_once_lose_no_value(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one is about to re-wrap, another finishes that epoch and begins the next: what was made for the epoch
    before must not pass for the new one."""
    vault, other = opened(), opened()
    for number in range(3):
        vault.operator("a").put(f"a/{number}", f"value {number}", environment="development")
    commit, first = SqliteStore.commit, [True]

    def dies(*arguments: object) -> None:
        raise RuntimeError("the process has died")

    def meanwhile(self: SqliteStore, batch: Batch) -> bool:
        if batch.rewrap and first and first.pop():
            other.operator("b").rotate_key()
            with monkeypatch.context() as patched, pytest.raises(RuntimeError):
                patched.setattr(key_rotation, "_rewrapped", dies)
                other.operator("b").rotate_key()
        return commit(self, batch)

    monkeypatch.setattr(SqliteStore, "commit", meanwhile)
    vault.operator("a").rotate_key()
    assert not first
    for number in range(3):
        assert vault.operator("a").reveal(f"a/{number}", environment="development").text() == f"value {number}"
    assert isinstance(vault.verify(), Success)


def test_a_vault_is_verified_while_its_own_keys_are_rotated(opened: Opener) -> None:
    """By another thread: whoever verifies looks at a moment whose keys are retired meanwhile, and holds nobody up."""
    vault = opened()
    operator = vault.operator("a")
    for number in range(20):
        operator.put(f"a/{number}", f"value {number}", environment="development")
    stop, rotations = threading.Event(), [0]

    def rotate() -> None:
        while not stop.is_set():
            operator.rotate_key(batch=5)
            rotations[0] += 1

    thread = threading.Thread(target=rotate)
    thread.start()
    try:
        shown = [vault.verify() for _ in range(20)]
    finally:
        stop.set()
        thread.join()
    assert all(isinstance(one, Success) for one in shown), shown
    assert rotations[0] > 1
