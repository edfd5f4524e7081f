"""Audit sinks: a failure delays entries and never loses one."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

import ironsecrets
from tests.conftest import Command, Opener


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def test_the_file_holds_the_log_byte_for_byte(path: Path, tmp_path: Path, opened: Opener) -> None:
    file = tmp_path / "audit.jsonl"
    vault = opened(sinks=[ironsecrets.JsonLinesSink(file)])
    vault.operator("o").put("a", "x", environment="development")
    assert lines(file) == list(vault.entries())
    vault.close()
    again = opened(sinks=[ironsecrets.JsonLinesSink(file)])
    again.operator("o").put("a", "y", environment="development")
    other = opened()
    other.operator("o").put("a", "z", environment="development")
    again.operator("o").put("b", "x", environment="development")
    assert lines(file) == list(again.entries())


def test_a_torn_line_is_cut_and_written_again(path: Path, tmp_path: Path, opened: Opener) -> None:
    file = tmp_path / "audit.jsonl"
    vault = opened(sinks=[ironsecrets.JsonLinesSink(file)])
    operator = vault.operator("o")
    for number in range(5):
        operator.put(f"k/{number}", "x", environment="development")
    vault.close()
    whole = file.read_bytes()
    for cut in (1, 5, 100, len(whole) - 3, len(whole) - 700):
        file.write_bytes(whole[:-cut] if cut < len(whole) else b"")
        with ironsecrets.open_vault(path, master_key=bytes(range(32)), sinks=[ironsecrets.JsonLinesSink(file)]):
            pass
        assert file.read_bytes() == whole


def test_a_file_that_fails_is_caught_up_later(path: Path, tmp_path: Path, opened: Opener) -> None:
    folder = tmp_path / "logs"
    vault = opened(sinks=[ironsecrets.JsonLinesSink(folder / "audit.jsonl")])
    operator = vault.operator("o")
    operator.put("a", "x", environment="development")
    assert vault.sinks()[0].error == "builtins.FileNotFoundError"
    assert vault.sinks()[0].position == 0
    folder.mkdir()
    operator.put("a", "y", environment="development")
    assert lines(folder / "audit.jsonl") == list(vault.entries())
    assert vault.sinks()[0].error is None
    assert vault.sinks()[0].position == vault.sinks()[0].size


class Flaky:
    """Takes a few entries, and fails every other time, sometimes after taking some."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.calls = 0

    def position(self) -> int:
        return len(self.taken)

    def deliver(self, start: int, entries: Sequence[bytes]) -> None:
        self.calls += 1
        assert start == len(self.taken)
        if self.calls % 2:
            raise RuntimeError("the secret is hunter2")
        self.taken += entries[:3]


def test_a_flaky_sink_gets_everything_in_order(path: Path, opened: Opener) -> None:
    sink = Flaky()
    vault = opened(sinks=[sink])
    for number in range(30):
        vault.operator("o").put(f"k/{number}", "x", environment="development")
    while vault.sinks()[0].position < vault.sinks()[0].size:
        vault.viewer("v").secrets()
        if sink.position() == vault.state.log.size:
            break
    assert sink.taken == list(vault.entries())[: len(sink.taken)]
    assert len(sink.taken) >= 30
    assert "hunter2" not in repr(vault.sinks())


def test_logging(path: Path, opened: Opener, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "ironsecrets.audit"):
        vault = opened(sinks=[ironsecrets.LoggingSink()])
        vault.operator("o").put("a", "the value", environment="development")
        with pytest.raises(ironsecrets.Refused):
            vault.acting_for("agent_one").lease("a", environment="development")
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert told == [("INFO", "create applied"), ("INFO", "put applied"), ("WARNING", "lease unknown-agent")]
    assert caplog.records[1].__dict__["audit"]["command"]["name"] == "a"
    assert "the value" not in repr([record.__dict__ for record in caplog.records])


class Raising(logging.Handler):
    """A handler that fails on some records."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[str] = []
        self.calls = 0

    def handle(self, record: logging.LogRecord) -> bool:
        self.calls += 1
        if self.calls % 3 == 0:
            raise RuntimeError("the log server is gone")
        self.taken.append(record.__dict__["audit"]["request"])
        return True


def test_logging_goes_on_where_it_stopped(path: Path, tmp_path: Path, opened: Opener) -> None:
    """Over failures and restarts: every entry once, in order."""
    handler = Raising()
    logger = logging.Logger("audit")
    logger.addHandler(handler)
    for round_ in range(4):
        sink = ironsecrets.LoggingSink(logger, position_file=tmp_path / "position")
        vault = opened(sinks=[sink])
        for number in range(5):
            vault.operator("o").put(f"k/{round_}/{number}", "x", environment="development")
        vault.close()
    entries = [json.loads(raw)["request"] for raw in opened().entries()]
    assert handler.taken == entries[: len(handler.taken)]
    assert len(handler.taken) >= len(entries) - 2
    assert (tmp_path / "position").read_text() == str(len(handler.taken))


def test_the_command_line_follows_an_audit_file(command: Command) -> None:
    command.env["IRONSECRETS_AUDIT_FILE"] = "audit.jsonl"
    command.ok("init")
    command.ok("put", "a", stdin="x")
    command.fails(6, "get", "b")
    exported = command.ok("audit", "log", "--json").out
    assert (command.folder / "audit.jsonl").read_bytes() == exported
