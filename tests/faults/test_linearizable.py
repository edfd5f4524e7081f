"""Several processes and threads on one file: there is one order of all commands, it is the log's, and it agrees with
the clock on the wall and with every value that anybody was shown (linearizability)."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
from returns.result import Success

from ironsecrets.audit import decode_entry
from ironsecrets.refusals import APPLIED
from properties.worlds import MASTER_KEY
from tests.conftest import Opener
from tests.faults.depth import DEEP

CLIENT = """
import json, random, sys, threading, time
import ironsecrets
from ironsecrets.principals import Agent, Operator
from returns.result import Failure, Success

path, key, me, count = sys.argv[1], bytes.fromhex(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
vault = ironsecrets.open_vault(path, master_key=key, busy_timeout=60)
environment = ironsecrets.parse_environment("development").unwrap()
names = [ironsecrets.parse_secret_name(n).unwrap() for n in ("a", "b", "c")]
agent = Agent(ironsecrets.parse_agent_id("agent_one").unwrap())
lock, wrong = threading.Lock(), []

def work(thread):
    operator = Operator(ironsecrets.parse_person_name(f"p{me}.{thread}").unwrap())
    chance = random.Random(1000 * me + thread)
    for number in range(count):
        name = chance.choice(names)
        act = chance.choice(("put", "put", "reveal", "reveal", "lease", "lease", "revoke", "grant"))
        value = f"{me}.{thread}.{number}"
        principal = operator
        if act == "put":
            ask = ironsecrets.NewVersion(name=name, environment=environment, value=ironsecrets.Sensitive(value))
        elif act == "reveal":
            ask = ironsecrets.RevealValue(name=name, environment=environment)
        elif act == "lease":
            ask, principal = ironsecrets.NewLease(name=name, environment=environment), agent
        if act in ("revoke", "grant"):
            try:
                if act == "revoke":
                    vault.operator("r").revoke_agent("agent_one")
                else:
                    vault.operator("g").grant("agent_one", "**", environment="development")
            except ironsecrets.Refused:
                pass
            continue
        began = time.monotonic_ns()
        result = vault.execute(principal, ask)
        ended = time.monotonic_ns()
        if isinstance(result, Success):
            outcome = result.unwrap()
            shown = outcome.disclosed.bytes().decode() if act in ("reveal", "lease") else value
            with lock:
                print(json.dumps([began, ended, outcome.seq, act, name, shown]), flush=True)
        if me == 0 and thread == 0 and number % 25 == 10:
            vault.operator("k").rotate_key(batch=2)

threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
for one in threads: one.start()
for one in threads: one.join()
vault.close()
"""


def test_the_log_is_the_one_order(path: Path, opened: Opener, record_property: Callable[[str, object], None]) -> None:
    vault = opened()
    for name in ("a", "b", "c"):
        vault.operator("o").put(name, "first", environment="development")
    vault.operator("o").auto_suspend(within=None)
    vault.operator("o").grant("agent_one", "**", environment="development")
    count = 400 if DEEP else 50
    clients = [
        subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(path), MASTER_KEY.hex(), str(number), str(count)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    done = [tuple(json.loads(line)) for client in clients for line in client.communicate(timeout=280)[0].splitlines()]
    assert [client.returncode for client in clients] == [0, 0, 0]
    assert len(done) > 3 * 3 * count / 4

    # What had ended before another began stands before it.
    latest, ended_before = -1, sorted(done, key=lambda one: one[1])
    at = 0
    for began, _, seq, *_ in sorted(done):
        while ended_before[at][1] < began:
            latest = max(latest, ended_before[at][2])
            at += 1
        assert seq > latest, "the log turned round what was one after the other"

    # Each value that was shown is the one that was put last before it; nobody held a lease after a revocation.
    put = {one[2]: one[5] for one in done if one[3] == "put"}
    shown = {one[2]: one for one in done if one[3] != "put"}
    current: dict[str, str] = dict.fromkeys(("a", "b", "c"), "first")
    granted = checked = 0
    for raw in vault.entries(1):
        entry = decode_entry(raw).unwrap()
        if entry.verdict != APPLIED:
            assert entry.verdict != "no-grant" or not granted
            continue
        fields = msgspec.to_builtins(entry.command)
        match entry.command.type:
            case "put":
                current[fields["name"]] = put.get(entry.seq, "first")
            case "grant":
                granted += 1
            case "revoke-agent":
                granted = 0
            case "lease" | "reveal":
                assert entry.command.type == "reveal" or granted
                _, _, _, _, name, value = shown[entry.seq]
                assert value == current[name]
                checked += 1
            case _:
                pass
    assert checked == len(shown)
    assert isinstance(vault.verify(), Success)
    record_property("faults", ("commands of 3 processes with 3 threads each, in one order", len(done), 0))
