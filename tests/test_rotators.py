"""Rotators that go wrong: that fail, hang, print binary, print the secret, or are not there."""

import json
import os
import sys
from datetime import timedelta
from pathlib import Path

import pytest

import ironsecrets
from interpreters.command_rotator import CommandRotator
from interpreters.rotator_file import load_rotators
from interpreters.rotators import CallableRotator, NewValue, Rotator, Task
from ironsecrets.sensitive import Sensitive
from tests.conftest import Command, Opener
from tests.test_scheduler import until

OLD = "the-old-value-of-the-secret"
NEW = "the-new-value-of-the-secret"


def program(command: Command, body: str, *, timeout: str = "20s", output: str = "value", policy: str = "abort") -> None:
    """A vault with one secret, rotated by a program of this body, which knows ``step`` and ``told``."""
    (command.folder / "rotator.py").write_text(
        f"import json, os, sys, time\nstep, told = sys.argv[-1], json.load(sys.stdin)\n"
        f"open('steps', 'a').write(step + ' ')\n{body}\n"
    )
    (command.folder / "rotators.toml").write_text(
        f'[rotators.ours]\ncommand = ["{sys.executable}", "rotator.py", "--fixed"]\n'
        f'timeout = "{timeout}"\noutput = "{output}"\n'
    )
    command.env["IRONSECRETS_ROTATORS"] = "rotators.toml"
    command.ok("put", "k", stdin=OLD)
    command.ok("rotation", "set", "k", "--every", "30d", "--rotator", "ours", "--on-failure", policy)


def steps(command: Command) -> list[str]:
    return (command.folder / "steps").read_text().split()


def value(command: Command) -> bytes:
    """The current value, without the newline that `get --reveal` adds on a terminal only."""
    return command.ok("get", "k", "--reveal").out


def entries(command: Command) -> list[dict[str, object]]:
    return [json.loads(line) for line in command.ok("audit", "log", "--json").text.splitlines()]


def test_the_steps_and_what_each_is_told(made: Command) -> None:
    program(
        made,
        "seen = {k: told[k] for k in ('step', 'name', 'environment', 'current', 'pending')}\n"
        "open('told', 'a').write(json.dumps(seen) + '\\n')\n"
        "open('environ', 'w').write(repr(dict(os.environ)) + repr(sys.argv))\n"
        f"if step == 'create': print({NEW!r})\n",
    )
    made.ok("rotation", "now", "k")
    assert steps(made) == ["create", "set", "test", "finish"]
    told = [json.loads(line) for line in (made.folder / "told").read_text().splitlines()]
    assert [one["pending"] for one in told] == [None, NEW, NEW, NEW]
    assert {one["current"] for one in told} == {OLD}
    assert {(one["name"], one["environment"]) for one in told} == {("k", "development")}
    assert value(made) == NEW.encode(), "one newline at the end is left out"
    shown = (made.folder / "environ").read_text()
    assert "--fixed" in shown
    assert OLD not in shown
    assert NEW not in shown
    assert "IRON_SECRETS_MASTER_KEY" not in shown
    assert "IRONSECRETS_" not in shown


def test_a_value_that_a_program_prints(made: Command) -> None:
    program(made, "if step == 'create': sys.stdout.buffer.write(bytes(range(256)))")
    made.ok("rotation", "now", "k")
    assert value(made) == bytes(range(256)), "binary is a value like any other"
    program(made, "if step == 'create': pass")
    made.ok("rotation", "now", "k")
    assert len(value(made)) == 32, "nothing printed: generated"
    program(made, "if step == 'create': print(json.dumps({'value_base64': '/wA=', 'expires_in': 60}))", output="json")
    made.ok("rotation", "now", "k")
    assert value(made) == b"\xff\0"
    history = json.loads(made.ok("history", "k", "--json").text)["versions"]
    assert history[-1]["expires_at"] is not None
    program(made, "if step == 'create': print(json.dumps({'value': told['current_base64']}))", output="json")
    made.ok("rotation", "now", "k")


@pytest.mark.parametrize(
    ("body", "output"),
    [
        ("sys.stdout.buffer.write(b'\\xff\\xfe not json')", "json"),
        ("print(json.dumps({'value': 'x', 'expire_in': 5}))", "json"),
        ("print(json.dumps({'value': 'x', 'value_base64': 'eA=='}))", "json"),
        ("print(json.dumps({'value_base64': 'e'}))", "json"),
        ("print(json.dumps({'value': 'x', 'expires_in': 0}))", "json"),
        ("print('[' * 100000)", "json"),
        ("sys.stdout.write('x' * 1_100_000)", "value"),
        ("sys.stdout.write('x' * 50_000_000)", "value"),
    ],
)
def test_output_that_is_no_value(made: Command, body: str, output: str) -> None:
    program(made, f"if step == 'create': {body}", output=output)
    line = made.fails(7, "rotation", "now", "k")
    assert "gave no usable value at step create" in line
    assert "aborted" in line
    assert value(made) == OLD.encode()
    assert steps(made) == ["create", "abort"]


@pytest.mark.parametrize("policy", ["abort", "keep"])
@pytest.mark.parametrize("step", ["create", "set", "test", "finish"])
def test_a_program_that_fails(made: Command, step: str, policy: str) -> None:
    """It also prints the secret, on stdout and stderr: nothing of it is shown or logged."""
    program(
        made,
        "print(told['current'], told['pending'])\nprint(told['current'], file=sys.stderr)\n"
        f"if step == {step!r} and not os.path.exists('mended'): sys.exit(3)\n",
        policy=policy,
    )
    done = made.run("rotation", "now", "k")
    assert done.status == 7
    assert f"the rotator failed at step {step} (exit status 3)" in done.error
    assert ("kept" if policy == "keep" else "aborted") in done.error
    assert value(made) == OLD.encode()
    order = ["create", "set", "test", "finish"]
    upto = order[: order.index(step)]
    assert steps(made) == [*upto, *[step] * 3, *(["abort"] if policy == "abort" else [])], "tried again, with pauses"
    failed = [entry["command"] for entry in entries(made) if entry["command"]["type"] == "rotation-fail"]  # type: ignore[index]
    assert [(one["step"], one["reason"]) for one in failed] == [(step, "failed")]  # type: ignore[index]
    (made.folder / "mended").touch()
    if policy == "keep":
        assert "in progress" in made.ok("rotation", "status").text
        assert "tried again from" in made.ok("rotation", "due", "--within", "1d").text
        assert "nothing is due" in made.ok("rotation", "due").text, "the scheduler leaves it alone for a while"
    made.ok("rotation", "now", "k")
    # What the program prints at `create` is the new value here: the old one among it.
    assert value(made).startswith(OLD.encode())
    said = made.ok("audit", "log", "--json").out + done.out + done.err
    assert OLD.encode() not in said
    assert "verified" in made.ok("audit", "verify").text


@pytest.mark.parametrize("step", ["create", "set", "test", "finish"])
def test_a_program_that_hangs(made: Command, step: str) -> None:
    """With a child of its own, which keeps its stdout open: the whole group is killed."""
    program(
        made,
        f"if step == {step!r}:\n    pid = os.fork()\n"
        "    open('pids', 'a').write(f'{os.getpid()}\\n')\n    time.sleep(600)\n",
        timeout="1s",
    )
    line = made.fails(7, "rotation", "now", "k")
    assert f"the rotator took too long at step {step}; it was aborted" in line
    assert value(made) == OLD.encode()
    for pid in (made.folder / "pids").read_text().split():
        state = Path(f"/proc/{pid}/stat")
        assert not state.exists() or state.read_text().split()[2] == "Z"


def test_an_abort_that_fails_is_tried_again(made: Command) -> None:
    program(made, "if step == 'test' or step == 'abort' and not os.path.exists('mended'): sys.exit(1)")
    line = made.fails(7, "rotation", "now", "k")
    assert "putting things back is tried again" in line
    assert "in progress, being put back" in made.ok("rotation", "status").text
    assert value(made) == OLD.encode()
    assert "abort" in made.fails(7, "rotation", "abort", "k")
    (made.folder / "mended").touch()
    made.ok("rotation", "abort", "k")
    assert "in progress" not in made.ok("rotation", "status").text
    made.fails(7, "rotation", "now", "k")
    (made.folder / "mended").unlink()
    made.fails(7, "rotation", "now", "k")
    assert "aborted" in made.ok("rotation", "abort", "k", "--force").text
    assert value(made) == OLD.encode()


def test_a_program_that_reads_nothing_or_is_not_there(made: Command) -> None:
    program(made, "")
    made.ok("put", "k", stdin=b"x" * 1_000_000)
    (made.folder / "rotator.py").write_text("raise SystemExit(0)")
    made.ok("rotation", "now", "k")
    (made.folder / "rotators.toml").write_text('[rotators.ours]\ncommand = ["./nowhere"]\n')
    assert "No such file or directory" in made.fails(7, "rotation", "now", "k")


def test_rotators_that_are_not_configured(made: Command) -> None:
    program(made, "")
    del made.env["IRONSECRETS_ROTATORS"]
    assert "no rotator of that name is configured here" in made.fails(3, "rotation", "now", "k")
    made.ok("rotation", "set", "k", "--every", "1d")
    assert "rotated by hand" in made.fails(3, "rotation", "now", "k")
    made.ok("rotation", "clear", "k")
    assert "no rotation policy" in made.fails(3, "rotation", "now", "k")
    assert "no rotation policy" in made.fails(3, "rotation", "clear", "k")
    made.ok("rotation", "now", "k", "--rotator", "generated")
    assert entries(made)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x", "Expected"),
        ("[rotators.a]\n", "command"),
        ("[rotators.a]\ncommand = []\n", "length"),
        ('[rotators.a]\ncommand = "sh -c"\n', "array"),
        ('[rotators.a]\ncommand = ["x"]\ntimeout = "soon"\n', "30s"),
        ('[rotators.a]\ncommand = ["x"]\ntimout = "3s"\n', "timout"),
        ('[rotators.generated]\ncommand = ["x"]\n', "cannot have the name"),
        ('[rotators."A b"]\ncommand = ["x"]\n', "cannot have the name"),
        ("rotator = 3\n", "rotator"),
    ],
)
def test_a_file_of_rotators_that_is_wrong(made: Command, text: str, said: str) -> None:
    (made.folder / "wrong.toml").write_text(text)
    line = made.fails(1, "rotation", "run", "--once", "--rotators", "wrong.toml")
    assert said in line
    assert "wrong.toml" in line


def test_a_file_that_everybody_may_write(made: Command) -> None:
    path = made.folder / "open.toml"
    path.write_text('[rotators.a]\ncommand = ["x"]\n')
    path.chmod(0o666)
    assert "chmod o-w" in made.fails(1, "rotation", "run", "--once", "--rotators", "open.toml")
    made.fails(7, "rotation", "run", "--once", "--rotators", "nowhere.toml")
    path.chmod(0o644)
    assert isinstance(load_rotators(path)["a"], CommandRotator)


def test_callables(opened: Opener) -> None:
    vault = opened()
    operator = vault.operator("olga")
    operator.put("k", OLD, environment="e")
    seen: list[str] = []
    kept: list[Task] = []

    def create(task: Task) -> NewValue:
        kept.append(task)
        assert not task.has_pending
        assert OLD not in repr(task)
        return NewValue(value=Sensitive(NEW), expires_in=timedelta(days=1))

    def test(task: Task) -> None:
        seen.append(task.pending().bytes().decode() + "|" + task.current().bytes().decode())

    rotators: dict[str, Rotator] = {"ours": CallableRotator(create=create, test=test)}
    operator.rotation.now("k", environment="e", rotator="ours", rotators=rotators)
    assert seen == [f"{NEW}|{OLD}"]
    with pytest.raises(ironsecrets.VaultClosed, match="over"):
        kept[0].current()
    for made in (None, "text", b"bytes", Sensitive("own")):
        plain = {"ours": CallableRotator(create=lambda task, made=made: made)}
        operator.rotation.now("k", environment="e", rotator="ours", rotators=plain)
        with operator.reveal("k", environment="e") as shown:
            assert shown.bytes() in (b"text", b"bytes", b"own") or (made is None and len(shown) == 32)
    wrong = {"ours": CallableRotator(create=lambda task: 17)}  # type: ignore[arg-type, return-value]
    with pytest.raises(ironsecrets.RotationFailed, match="no usable value"):
        operator.rotation.now("k", environment="e", rotator="ours", rotators=wrong)


def test_a_callable_that_raises_the_secret(opened: Opener, caplog: pytest.LogCaptureFixture) -> None:
    operator = opened().operator("olga")
    operator.put("k", OLD, environment="e")

    def fail(task: Task) -> None:
        raise ValueError(task.current().bytes().decode())

    with pytest.raises(ironsecrets.RotationFailed) as caught:
        operator.rotation.now("k", environment="e", rotator="ours", rotators={"ours": CallableRotator(test=fail)})
    assert str(caught.value) == (
        "k in e: the rotator failed at step test (ValueError); it was aborted and the current value stays"
    )
    import traceback

    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert OLD not in shown
    assert caught.value.fate == "aborted"
    assert isinstance(caught.value, ironsecrets.VaultError)


def test_a_callable_that_hangs(opened: Opener) -> None:
    """Python cannot stop it: until it has ended nothing else is done outside, and it sees no value any more."""
    import threading

    operator = opened().operator("olga")
    operator.put("k", OLD, environment="e")
    go, late = threading.Event(), list[str]()

    def hang(task: Task) -> None:
        go.wait(30)
        try:
            task.pending()
        except ironsecrets.VaultClosed:
            late.append("refused")

    aborted: list[int] = []
    ours = CallableRotator(set=hang, abort=lambda task: aborted.append(1), timeout=timedelta(seconds=0.2))
    with pytest.raises(ironsecrets.RotationFailed, match="took too long at step set; putting things back is tried"):
        operator.rotation.now("k", environment="e", rotator="ours", rotators={"ours": ours})
    with pytest.raises(ironsecrets.RotationFailed, match="has not ended"):
        operator.rotation.abort("k", environment="e", rotators={"ours": ours})
    assert not aborted
    go.set()
    until(lambda: late)
    assert late == ["refused"]
    operator.rotation.abort("k", environment="e", rotators={"ours": ours})
    assert aborted == [1]
    with operator.reveal("k", environment="e") as shown:
        assert shown.bytes() == OLD.encode()


def test_interrupted_by_ctrl_c(made: Command) -> None:
    """The program is ended with us, and the next run goes on."""
    import signal
    import subprocess

    from tests.conftest import COMMAND

    program(
        made,
        "if step == 'test' and not os.path.exists('mended'):\n"
        "    open('there', 'w').write(str(os.getpid()))\n    time.sleep(60)",
    )
    process = subprocess.Popen(
        [str(COMMAND), "rotation", "now", "k"], cwd=made.folder, env=made.env, stderr=subprocess.PIPE, text=True
    )
    there = made.folder / "there"
    until(lambda: there.exists() and there.read_text())
    process.send_signal(signal.SIGINT)
    assert "interrupted" in process.communicate(timeout=20)[1]
    assert process.returncode == 130
    with pytest.raises(ProcessLookupError):
        os.kill(int(there.read_text()), 0)
    (made.folder / "mended").touch()
    made.ok("rotation", "run", "--once")
    assert "previous" in made.ok("history", "k").text
