"""Without a restart, or with one: ``run`` and its command through rotations."""

import itertools
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import given
from hypothesis import strategies as st

from interpreters.kept_file import MARK, BadVariable, KeptFile, assignment
from ironsecrets.errors import StoreUnavailable
from tests.conftest import COMMAND, Command
from tests.test_scheduler import until

OLD = "old-value-of-the-key"


@pytest.fixture
def granted(made: Command) -> Command:
    made.ok("put", "openai/api-key", stdin=OLD)
    made.ok("put", "other/key", stdin="not the agent's")
    made.ok("grant", "agent_a", "openai/*")
    return made


@contextmanager
def running(command: Command, *options: str, program: str) -> Iterator["subprocess.Popen[str]"]:
    """`run` with a Python program, which is ended at the end."""
    process = subprocess.Popen(
        [str(COMMAND), "run", "--agent", "agent_a", *options, "--", sys.executable, "-u", "-c", program],
        cwd=command.folder,
        env=command.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def put(command: Command, value: str, name: str = "openai/api-key") -> None:
    command.ok("put", name, stdin=value)


SERVER = """
import http.server, os, signal, dotenv

key = os.environ["OPENAI_API_KEY"]

def read_again(*_):
    global key
    key = dotenv.dotenv_values("agent.env")["OPENAI_API_KEY"]

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = f"{os.getpid()} {key}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128

signal.signal(signal.SIGUSR1, read_again)
server = Server(("127.0.0.1", 0), Handler)
open("port", "w").write(str(server.server_port))
server.serve_forever()
"""


def test_a_server_answers_through_rotations_and_drops_none(granted: Command) -> None:
    """One child process, four clients that never stop, five rotations: every request is answered by that child, with
    a value that was current, and soon after each rotation with the new one."""
    granted.ok("rotation", "set", "openai/api-key", "--every", "90d", "--rotator", "generated", "--overlap", "1h")
    options = ("--on-rotate", "signal:USR1", "--env-file", "agent.env")
    answers: list[str] = []
    failures: list[str] = []
    stop = threading.Event()

    def client(port: str) -> None:
        while not stop.is_set():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                    answers.append(answer.read().decode())
            except OSError as error:
                failures.append(type(error).__name__)

    with running(granted, *options, program=SERVER) as process:
        where = granted.folder / "port"
        until(lambda: where.exists() and where.read_text())
        clients = [threading.Thread(target=client, args=(where.read_text(),)) for _ in range(4)]
        for one in clients:
            one.start()
        keys = [OLD]
        for _ in range(5):
            granted.ok("rotation", "now", "openai/api-key")
            keys.append(granted.ok("get", "openai/api-key", "--reveal").text)
            until(lambda: answers and answers[-1].split()[1] == keys[-1])
        stop.set()
        for one in clients:
            one.join()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 128 + signal.SIGTERM
    assert not failures
    assert len(answers) > 50
    assert len({answer.split()[0] for answer in answers}) == 1, "one process all the while"
    order = [keys.index(answer.split()[1]) for answer in answers]
    assert set(order) == set(range(6))
    # Four clients write down what they saw in the order of their own luck: never two rotations apart.
    assert all(later >= earlier - 1 for earlier, later in itertools.pairwise(order))
    assert not (granted.folder / "agent.env").exists()


PRINTS = """
import os, signal, sys, time
signal.signal(signal.SIGUSR1, lambda *_: print("told", open("agent.env").read() if os.path.exists("agent.env") else ""))
signal.signal(signal.SIGTERM, lambda *_: (print("ending"), sys.exit(0)))
print("started", os.environ["OPENAI_API_KEY"])
while True:
    time.sleep(0.05)
"""


def lines(process: "subprocess.Popen[str]", count: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().rstrip("\n") for _ in range(count)]


def test_restart(granted: Command) -> None:
    with running(granted, "--on-rotate", "restart", program=PRINTS) as process:
        assert lines(process, 1) == [f"started {OLD}"]
        put(granted, "new-value")
        assert lines(process, 2) == ["ending", "started new-value"]
        put(granted, "unrelated", name="other/key")
        granted.ok("put", "openai/api-key", "--env", "production", stdin="elsewhere")
        time.sleep(0.6)
        put(granted, "newest-value")
        assert lines(process, 2) == ["ending", "started newest-value"], "others' values restart nothing"
        process.send_signal(signal.SIGTERM)
        assert lines(process, 1) == ["ending"]
        assert process.wait(20) == 0


def test_a_command_that_does_not_end_is_killed_after_the_grace(granted: Command) -> None:
    stubborn = "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    stubborn += "print('started', os.environ['OPENAI_API_KEY'])\nwhile True: time.sleep(1)"
    with running(granted, "--on-rotate", "restart", "--grace", "1s", program=stubborn) as process:
        assert lines(process, 1) == [f"started {OLD}"]
        begun = time.monotonic()
        put(granted, "new-value")
        assert lines(process, 1) == ["started new-value"]
        assert time.monotonic() - begun >= 1


def test_who_asks_it_to_end_while_it_restarts_is_obeyed(granted: Command) -> None:
    slow = "import os, signal, sys, time\n"
    slow += "signal.signal(signal.SIGTERM, lambda *_: (print('ending'), time.sleep(2), os._exit(7)))\n"
    slow += "print('started')\nwhile True: time.sleep(0.05)"
    with running(granted, "--on-rotate", "restart", program=slow) as process:
        assert lines(process, 1) == ["started"]
        put(granted, "new-value")
        assert lines(process, 1) == ["ending"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 7
        assert process.stdout is not None
        assert "started" not in process.stdout.read()


def test_signals_are_told_after_the_file(granted: Command) -> None:
    options = ("--on-rotate", "signal:USR1", "--env-file", "agent.env")
    with running(granted, *options, program=PRINTS) as process:
        assert lines(process, 1) == [f"started {OLD}"]
        file = granted.folder / "agent.env"
        assert file.stat().st_mode & 0o777 == 0o600
        assert dotenv_values(file) == {"OPENAI_API_KEY": OLD}
        put(granted, "new-value")
        assert lines(process, 2) == ["told " + MARK.decode().rstrip("\n"), "OPENAI_API_KEY='new-value'"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert not file.exists()


def test_a_lease_that_ended_is_taken_anew(granted: Command) -> None:
    """The first lease lasts a second; a rotation later, and the file, still find the agent's grant."""
    granted.ok("revoke", "--agent", "agent_a")
    granted.ok("grant", "agent_a", "openai/*", "--ttl", "1s")
    options = ("--on-rotate", "signal:USR1", "--env-file", "agent.env")
    with running(granted, *options, program=PRINTS) as process:
        lines(process, 1)
        time.sleep(2)
        put(granted, "new-value")
        assert lines(process, 2)[1] == "OPENAI_API_KEY='new-value'"


def test_what_the_agent_may_no_longer_have_leaves_the_file(granted: Command) -> None:
    granted.ok("put", "openai/second", stdin="second-value")
    (grant,) = re.findall(r"gr_\w+", granted.ok("grant", "agent_a", "db/url").text)
    granted.ok("put", "db/url", stdin="url-value")
    with running(granted, "--env-file", "agent.env", "--on-rotate", "restart", program=PRINTS) as process:
        lines(process, 1)
        file = granted.folder / "agent.env"
        assert dotenv_values(file).keys() == {"OPENAI_API_KEY", "OPENAI_SECOND", "DB_URL"}
        granted.ok("revoke", grant)
        until(lambda: dotenv_values(file).keys() == {"OPENAI_API_KEY", "OPENAI_SECOND"})
        granted.ok("delete", "openai/second")
        until(lambda: dotenv_values(file).keys() == {"OPENAI_API_KEY"})
        put(granted, "new-value")
        until(lambda: dotenv_values(file) == {"OPENAI_API_KEY": "new-value"})
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert "started" not in out, "with a value missing it is not started anew"
    assert err.count("the command keeps what it has of it") == 2
    assert "value" not in err


def test_the_file_goes_however_the_command_ends(granted: Command) -> None:
    run = ("run", "--agent", "agent_a", "--env-file", "agent.env", "--")
    file = granted.folder / "agent.env"
    for body, status in (("exit 3", 3), ("kill -9 $$", 137), ("rm agent.env", 0), ("echo mine > agent.env", 0)):
        assert granted.run(*run, "sh", "-c", "test -s agent.env || exit 99; " + body).status == status
    assert file.read_text() == "mine\n", "what the command put in its place is not ours"
    assert "left as it is" in granted.fails(7, *run, "true")
    assert file.read_text() == "mine\n"
    file.write_bytes(MARK + b"A='left by a kill -9'\n")
    granted.ok(*run, "true")
    assert not file.exists()
    file.symlink_to("elsewhere")
    granted.fails(7, *run, "true")
    assert not (granted.folder / "elsewhere").exists()
    file.unlink()
    granted.fails(7, "run", "--agent", "agent_a", "--env-file", "no/such/folder", "--", "true")
    assert granted.run(*run, "no-such-command").status == 127
    assert not file.exists()
    granted.ok("put", "openai/api-key", stdin=b"\xff")
    assert "not UTF-8" in granted.fails(1, *run, "true")
    granted.ok("put", "openai/api-key", stdin=b"a\0b")
    assert "NUL" in granted.fails(1, *run, "true")
    assert not file.exists()


def test_options_that_make_no_sense(granted: Command) -> None:
    for wrong in ("USR1", "signal:", "signal:NOPE", "reload", "signal:SIG"):
        assert granted.run("run", "--agent", "agent_a", "--on-rotate", wrong, "--", "true").status == 2
    granted.ok("run", "--agent", "agent_a", "--on-rotate", "signal:sighup", "--", "true")


@given(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)
    | st.text("\\\\'\"\r\n$n{a}# ", max_size=12)
)
def test_the_file_reads_back_as_it_was(value: str) -> None:
    written = assignment("KEY", value.encode()).decode()
    assert dotenv_values(stream=StringIO(written, newline=""), interpolate=False) == {"KEY": value}
    assert written.count("\n") == 1, "one line each, whatever the value"


@given(st.text(st.characters(codec="ascii", exclude_characters="\0'\\\r\n"), max_size=60))
def test_a_shell_reads_it_too(value: str) -> None:
    written = assignment("KEY", value.encode())
    done = subprocess.run(["sh", "-c", written.decode() + 'printf %s "$KEY"'], capture_output=True, check=True)
    assert done.stdout == value.encode()


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable), KeptFile(tmp_path) as kept:
        kept.write({"A": b"x"})
    with pytest.raises(BadVariable), KeptFile(tmp_path / "a") as kept:
        kept.write({"A": b"\xff"})
    assert not (tmp_path / "a").exists()
