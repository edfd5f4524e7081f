"""``run``: injection into a process, signals, exit statuses, and Ctrl-C anywhere."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pytest

from tests.conftest import COMMAND, Command

KEY = "sk-proj-Zq8Xw3Vt5Rp2Nm7Lk4Jh"
RUN = ("run", "--agent", "agent_one", "--")


@pytest.fixture
def granted(made: Command) -> Command:
    made.ok("put", "openai/api-key", stdin=KEY)
    made.ok("put", "db/url", "--variable", "DATABASE_URL", stdin="postgres://x")
    made.ok("put", "other/key", stdin="not granted")
    made.ok("grant", "agent_one", "openai/*")
    made.ok("grant", "agent_one", "db/url")
    return made


def test_the_child_gets_what_was_granted_and_nothing_of_ours(granted: Command) -> None:
    granted.env |= {"IRONSECRETS_PASSPHRASE": "x", "IRONSECRETS_ENV": "development", "KEPT": "yes"}
    granted.env |= {"IC_TOKEN_SECRET": "0123456789abcdef" * 4, "IP_TOKEN_KEY": "0123456789abcdef" * 4}
    del granted.env["IRONSECRETS_PASSPHRASE"]
    done = granted.ok(*RUN, sys.executable, "-c", "import os, json; print(json.dumps(dict(os.environ)))")
    seen = json.loads(done.text)
    assert seen["OPENAI_API_KEY"] == KEY
    assert seen["DATABASE_URL"] == "postgres://x"
    assert seen["KEPT"] == "yes"
    keys = {"IRON_SECRETS_MASTER_KEY", "IC_TOKEN_SECRET", "IP_TOKEN_KEY"}
    assert not [name for name in seen if name.startswith("IRONSECRETS") or name in keys]
    assert "not granted" not in seen.values()
    assert json.loads(granted.ok("leases", "--json").text) == [], "released when the command ended"
    types = [json.loads(line)["command"]["type"] for line in granted.ok("audit", "log", "--json").text.splitlines()]
    assert types[-5:-1] == ["lease", "lease", "release", "release"]


def test_choosing_and_clashing(granted: Command) -> None:
    chosen = ("run", "--agent", "agent_one", "--set", "MY_KEY=openai/api-key", "--")
    seen = granted.ok(*chosen, "sh", "-c", 'printf "%s|%s" "$MY_KEY" "$DATABASE_URL"').text
    assert seen == f"{KEY}|"
    granted.ok("put", "openai/api_key", stdin="clash")
    assert "both become OPENAI_API_KEY" in granted.fails(1, *RUN, "true")
    assert granted.run("run", "--agent", "agent_one", "--set", f"K={KEY}!", "--", "true").status == 2
    assert KEY.encode() not in granted.run("run", "--agent", "agent_one", "--set", f"K={KEY}!", "--", "true").err


def test_exit_statuses_are_the_commands_own(granted: Command) -> None:
    for status in (0, 1, 3, 42, 255):
        assert granted.run(*RUN, "sh", "-c", f"exit {status}").status == status
    for number in (signal.SIGTERM, signal.SIGKILL):
        assert granted.run(*RUN, "sh", "-c", f"kill -{int(number)} $$").status == 128 + number
    assert "command not found" in granted.fails(127, *RUN, "no-such-command")
    assert granted.run(*RUN, "/").status == 126
    assert granted.run(*RUN, "echo", "--json", "--help").text == "--json --help\n"


def test_values_that_cannot_be_injected(granted: Command) -> None:
    granted.ok("put", "openai/nul", stdin=b"a\0b")
    assert "NUL byte" in granted.fails(1, "run", "--agent", "agent_one", "--set", "K=openai/nul", "--", "true")
    granted.ok("put", "openai/nul", stdin=b"\xff\xfe bytes")
    done = granted.ok("run", "--agent", "agent_one", "--set", "K=openai/nul", "--", "sh", "-c", 'printf %s "$K"')
    assert done.out == b"\xff\xfe bytes"
    granted.ok("put", "openai/large", stdin=b"x" * 1_000_000)
    line = granted.fails(1, "run", "--agent", "agent_one", "--set", "K=openai/large", "--", "true")
    assert "too large" in line
    assert json.loads(granted.ok("leases", "--json").text) == []


def started(command: Command, program: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [str(COMMAND), *RUN, sys.executable, "-u", "-c", program],
        cwd=command.folder,
        env=command.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT", "SIGUSR1", "SIGUSR2", "SIGQUIT"])
def test_signals_reach_the_child(granted: Command, name: str) -> None:
    program = f"""
import signal, sys, time
def told(number, frame):
    print("told", signal.Signals(number).name)
    sys.exit(7)
signal.signal(signal.{name}, told)
print("ready")
time.sleep(60)
"""
    process = started(granted, program)
    process.send_signal(getattr(signal, name))
    out, err = process.communicate(timeout=30)
    assert (out, process.returncode) == (f"told {name}\n", 7)
    assert err == ""
    assert "verified" in granted.ok("audit", "verify").text
    assert json.loads(granted.ok("leases", "--json").text) == []


def test_a_child_that_a_signal_ends(granted: Command) -> None:
    process = started(granted, "import time; print('ready'); time.sleep(60)")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert json.loads(granted.ok("leases", "--json").text) == []


def terminal(command: Command, *arguments: str) -> "pexpect.spawn[str]":
    return pexpect.spawn(
        str(COMMAND), list(arguments), cwd=str(command.folder), env=command.env, encoding="utf-8", timeout=30
    )


def status_of(child: "pexpect.spawn[str]") -> int | None:
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus


def test_ctrl_c_during_run_interrupts_once_and_exits_130(granted: Command) -> None:
    program = "import time; print('ready', flush=True); time.sleep(60)"
    child = terminal(granted, *RUN, sys.executable, "-c", program)
    child.expect("ready")
    child.sendintr()
    assert status_of(child) == 130
    assert "verified" in granted.ok("audit", "verify").text
    assert json.loads(granted.ok("leases", "--json").text) == []


def test_ctrl_c_is_for_the_child_that_handles_it(granted: Command) -> None:
    program = """
import signal, sys, time
count = 0
def told(*_):
    global count
    count += 1
    print("told", count, flush=True)
signal.signal(signal.SIGINT, told)
print("ready", flush=True)
for _ in range(30):
    time.sleep(0.1)
    if count and _ > 10:
        sys.exit(40 + count)
"""
    child = terminal(granted, *RUN, sys.executable, "-c", program)
    child.expect("ready")
    child.sendintr()
    assert status_of(child) == 41, "once, not twice"


@pytest.mark.parametrize("arguments", [("init",), ("list",), ("put", "k")])
def test_ctrl_c_at_a_passphrase_prompt(command: Command, arguments: tuple[str, ...]) -> None:
    if arguments != ("init",):
        command.run("init", env={"IRONSECRETS_PASSPHRASE": "correct"})
    del command.env["IRON_SECRETS_MASTER_KEY"]
    child = terminal(command, *arguments)
    child.expect("Value of k" if arguments[0] == "put" else "Passphrase for")
    time.sleep(0.2)
    child.sendintr()
    assert status_of(child) == 130
    assert "Traceback" not in (child.before or "")
    if arguments == ("init",):
        assert not (command.folder / "test.vault").exists()


def test_prompts_are_hidden(command: Command) -> None:
    del command.env["IRON_SECRETS_MASTER_KEY"]
    child = terminal(command, "init")
    for _ in range(2):
        child.expect(":")
        child.waitnoecho()
        child.sendline("my passphrase")
    assert status_of(child) == 0
    assert "my passphrase" not in (child.before or "")
    child = terminal(command, "put", "k")
    child.expect("Value of k")
    child.waitnoecho()
    child.sendline("typed value")
    child.expect("Passphrase for")
    child.waitnoecho()
    child.sendline("my passphrase")
    child.expect("version 1")
    assert status_of(child) == 0
    env = {"IRONSECRETS_PASSPHRASE": "my passphrase"}
    assert command.run("get", "k", "--reveal", env=env).out == b"typed value"
    child = terminal(command, "get", "k", "--reveal")
    child.expect("Passphrase for")
    child.waitnoecho()
    child.sendline("wrong")
    child.expect("wrong passphrase")
    assert status_of(child) == 4


def test_a_piped_value_and_a_typed_passphrase(command: Command) -> None:
    command.run("init", env={"IRONSECRETS_PASSPHRASE": "correct"})
    del command.env["IRON_SECRETS_MASTER_KEY"]
    shell = f"printf 'piped value' | '{COMMAND}' put k"
    child = pexpect.spawn("sh", ["-c", shell], cwd=str(command.folder), env=command.env, encoding="utf-8", timeout=30)
    child.expect("Passphrase for")
    child.waitnoecho()
    child.sendline("correct")
    assert status_of(child) == 0
    env = {"IRONSECRETS_PASSPHRASE": "correct"}
    assert command.run("get", "k", "--reveal", env=env).out == b"piped value"


def test_nothing_is_started_unless_everything_is_leased(granted: Command, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    both = ("--set", "A=openai/api-key", "--set", "B=other/key")
    granted.fails(3, "run", "--agent", "agent_one", *both, "--", "touch", str(touched))
    assert not touched.exists()
    assert json.loads(granted.ok("leases", "--json").text) == []
    assert "no grant" in granted.fails(3, "run", "--agent", "agent_two", "--", "true")
    assert os.path.exists(granted.folder / "test.vault")
