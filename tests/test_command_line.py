"""End to end through the installed command."""

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from ironsecrets.sealing import VALUE_LIMIT
from tests.conftest import Command

KEY = "sk-proj-Zq8Xw3Vt5Rp2Nm7Lk4Jh"


def test_init_makes_a_private_file_once(command: Command) -> None:
    os.umask(0)
    assert "created vault" in command.ok("init").text
    file = command.folder / "test.vault"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_bytes()
    assert "exists already" in command.fails(1, "init")
    assert file.read_bytes() == before
    assert {p.name for p in command.folder.iterdir()} <= {"test.vault", "test.vault-ballast"}


def test_missing_vault_says_how_to_create_it(command: Command) -> None:
    assert "ironsecrets --vault test.vault init" in command.fails(6, "list")
    assert not (command.folder / "test.vault").exists()


def test_passphrases(command: Command) -> None:
    del command.env["IRON_SECRETS_MASTER_KEY"]
    env = {"IRONSECRETS_PASSPHRASE": "correct horse"}
    assert "no passphrase" in command.fails(4, "init")
    assert command.run("init", env=env).status == 0
    assert "wrong passphrase" in command.fails(4, "list", env={"IRONSECRETS_PASSPHRASE": "correct  horse"})
    assert "empty" in command.fails(4, "list", env={"IRONSECRETS_PASSPHRASE": ""})
    assert "not with a master key" in command.fails(4, "list", env={"IRON_SECRETS_MASTER_KEY": "A" * 43 + "="})
    (command.folder / "pass").write_text("correct horse\n")
    assert command.run("--passphrase-file", "pass", "list").status == 0
    assert "cannot be read" in command.fails(4, "--passphrase-file", "none", "list")


@pytest.mark.parametrize("key", ["short", "A" * 43, "A" * 44 + "=", "", "not base64!", "AAAA"])
def test_bad_master_keys(command: Command, key: str) -> None:
    line = command.fails(4, "init", env={"IRON_SECRETS_MASTER_KEY": key})
    assert "base64 of exactly 32 bytes" in line
    assert not key or len(key) < 5 or key not in line


def test_put_get_history_rollback(made: Command) -> None:
    assert "version 1" in made.ok("put", "openai/api-key", "--env", "production", stdin=KEY).text
    made.ok("put", "openai/api-key", "--env", "production", "--tag", "team:a", stdin="second value here")
    get = ("get", "openai/api-key", "--env", "production")
    assert made.ok(*get).text == "***\n"
    assert made.ok(*get, "--version", "1").text == "sk-proj-***k4Jh\n"
    assert made.ok(*get, "--reveal").out == b"second value here"
    assert json.loads(made.ok(*get, "--reveal", "--json").text)["value"] == "second value here"
    assert "no such secret" in made.fails(6, "get", "openai/api-key")
    assert "no such version" in made.fails(6, *get, "--version", "9")
    versions = json.loads(made.ok("history", "openai/api-key", "--env", "production", "--json").text)["versions"]
    assert [v["label"] for v in versions] == ["previous", "current"]
    made.ok("rollback", "openai/api-key", "--to", "1", "--env", "production")
    assert made.ok(*get, "--reveal").text == KEY
    table = made.ok("history", "openai/api-key", "--env", "production").text
    assert "current" in table
    assert "VERSION" in table


@pytest.mark.parametrize(
    "value", [b"", b"\n", b"x", bytes(range(256)), b"\0" * 7, b"a\r\nb\n", "größe ✓".encode(), os.urandom(VALUE_LIMIT)]
)
def test_values_round_trip(made: Command, value: bytes) -> None:
    made.ok("put", "v", stdin=value)
    assert made.ok("get", "v", "--reveal").out == value


def test_values_over_the_limit_are_refused(made: Command) -> None:
    assert "at most 1 MiB" in made.fails(3, "put", "v", stdin=bytes(VALUE_LIMIT + 1))
    assert "no such secret" in made.fails(6, "get", "v")


def test_a_trailing_newline_is_kept_with_a_warning(made: Command) -> None:
    assert "ends with a newline" in made.ok("put", "v", stdin="key\n").error
    assert made.ok("get", "v", "--reveal").out == b"key\n"
    made.ok("put", "v", "--strip-newline", stdin="key\r\n")
    assert made.ok("get", "v", "--reveal").out == b"key"


@pytest.mark.parametrize(
    "arguments",
    [
        ("put", "name", "sk-secret-value"),
        ("put", "name", "--value", "sk-secret-value"),
        ("put", "name", "--sk-secret-value"),
        ("put", "name", "-sk-secret-value"),
        ("get", "name", "sk-secret-value"),
        ("list", "sk-secret-value"),
    ],
)
def test_a_value_on_the_command_line_is_refused_and_not_repeated(made: Command, arguments: tuple[str, ...]) -> None:
    done = made.run(*arguments)
    assert done.status == 2
    assert b"secret-value" not in done.out + done.err
    assert "no secrets" in made.ok("list").text


@pytest.mark.parametrize(
    "name", ["../etc", "a/../b", "/a", "a/", "a//b", "straße", "\u212aey", "a\nb", "n" * 300, "", "a b", "*"]
)
def test_bad_names_are_refused(made: Command, name: str) -> None:
    assert "a secret name is" in made.fails(3, "put", name, stdin="x")
    assert "a secret name is" in made.fails(3, "get", name)


def test_destroy_delete_erase(made: Command) -> None:
    for value in ("one", "two", "three"):
        made.ok("put", "k", stdin=value)
    assert "that version is current" in made.fails(3, "destroy", "k", "--version", "3")
    made.ok("destroy", "k", "--version", "1")
    assert "destroyed" in made.fails(3, "get", "k", "--version", "1", "--reveal")
    assert "destroyed" in made.fails(3, "rollback", "k", "--to", "1")
    made.ok("delete", "k")
    assert "undelete it first" in made.fails(3, "get", "k")
    assert "undelete it first" in made.fails(3, "put", "k", stdin="four")
    made.ok("undelete", "k")
    assert made.ok("get", "k", "--reveal").text == "three"
    made.ok("delete", "k", "--erase")
    assert "no such secret" in made.fails(6, "get", "k")
    assert "version 1" in made.ok("put", "k", stdin="anew").text
    made.ok("audit", "verify")


def test_agents_grants_and_revocation(made: Command) -> None:
    made.ok("put", "openai/key", stdin=KEY)
    token = made.ok("agent", "add", "agent_one").text.strip()
    assert token.startswith("isa_")
    assert "already holds a token" in made.fails(3, "agent", "add", "agent_one")
    assert made.ok("agent", "add", "agent_one", "--replace").text.strip() != token
    grant = made.ok("grant", "agent_one", "openai/*", "--ttl", "15m", "--expires", "30d", "--uses", "2").text.strip()
    assert json.loads(made.ok("grants", "--json").text)[0]["uses"] == 2
    run = ("run", "--agent", "agent_one", "--", "sh", "-c", "printf %s $OPENAI_KEY")
    assert made.ok(*run).text == KEY
    made.ok("agent", "suspend", "agent_one")
    assert "suspended" in made.fails(3, "run", "--agent", "agent_one", "--set", "K=openai/key", "--", "true")
    made.ok("agent", "resume", "agent_one")
    assert made.ok(*run).text == KEY
    assert "no uses left" in made.fails(3, "run", "--agent", "agent_one", "--set", "K=openai/key", "--", "true")
    made.ok("revoke", grant)
    assert "no grant" in made.fails(3, "run", "--agent", "agent_one", "--set", "K=openai/key", "--", "true")
    assert "no such grant" in made.fails(6, "revoke", grant)
    assert "no such agent" in made.fails(6, "agent", "suspend", "nobody")
    assert "say which" in made.run("revoke").error
    for more in (("--agent", "agent_one"), ("--all",)):
        made.ok("grant", "agent_one", "**")
        made.ok("revoke", *more)
        assert json.loads(made.ok("grants", "--json").text) == []
    made.ok("agent", "remove", "agent_one")
    assert json.loads(made.ok("agent", "list", "--json").text) == []
    assert "verified" in made.ok("audit", "verify").text


@pytest.mark.parametrize(
    "about",
    [
        ("--tag", "bad tag!"),
        ("--description", "d" * 501),
        ("--description", "two\nlines"),
        ("--provider", "Open AI"),
        ("--variable", "1X"),
        ("--variable", "A=B"),
        tuple(word for number in range(17) for word in ("--tag", f"t{number}")),
    ],
    ids=lambda about: f"{about[0]}{len(about)}{about[1][:5]!r}",
)
def test_bad_metadata_is_refused_in_words(made: Command, about: tuple[str, ...]) -> None:
    assert "a description is one line" in made.fails(3, "put", "k", *about, stdin="x")
    assert json.loads(made.ok("list", "--json").text) == []
    made.ok("put", "k", stdin="x")
    assert "a description is one line" in made.fails(3, "describe", "k", *about)


def test_odd_places(command: Command) -> None:
    assert "is a folder" in command.fails(5, "--vault", "/", "list")
    assert "exists already" in command.fails(1, "--vault", "/", "init")
    assert "cannot be made" in command.fails(7, "--vault", "/proc/nope/v", "init")
    command.ok("--vault", "new/folder/v", "init")
    command.ok("--vault", "new/folder/v", "list")
    assert "cannot be made" in command.fails(7, "--vault", "new/folder/v", "audit", "export", "/proc/nope")


def test_selectors_environments_and_lookalikes(made: Command) -> None:
    made.ok("put", "a/b", "--env", "production", stdin="x")
    for bad in ("*", "a*", "**/b", "a/***"):
        assert "a selector is" in made.fails(3, "grant", "agent_one", bad)
    for bad in ("Production", "production ", "prodüction", "9", "a" * 33):
        assert "an environment is" in made.fails(3, "grant", "agent_one", "a/*", "--env", bad)
    made.ok("grant", "agent_one", "a/*", "--env", "production")
    assert "no grant" in made.fails(3, "run", "--agent", "agent_one", "--set", "K=a/b", "--", "true")
    spelt = ("run", "--agent", "agent_One", "--env", "production", "--set", "K=a/b", "--", "true")
    assert "no such agent" in made.fails(6, *spelt)


def test_environment_default(made: Command) -> None:
    made.ok("put", "k", stdin="dev")
    assert made.run("put", "k", stdin="prod", env={"IRONSECRETS_ENV": "production"}).status == 0
    assert made.run("get", "k", "--reveal", env={"IRONSECRETS_ENV": "production"}).out == b"prod"
    assert made.ok("get", "k", "--reveal").out == b"dev"
    assert "production" not in made.ok("list").text
    assert "production" in made.ok("list", "--all").text


def test_operator_name_stands_in_the_log(made: Command) -> None:
    made.ok("--as", "alice@example.org", "put", "k", stdin="x")
    last = json.loads(made.ok("audit", "log", "--last", "1", "--json").text)
    assert last["principal"] == {"claims": None, "id": "alice@example.org", "token": None, "type": "operator"}
    assert "a person's name is" in made.fails(3, "--as", "a b", "list")


def test_files_that_are_no_vault(command: Command, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello, I am a text file, long enough to look at\n" * 100)
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    import sqlite3

    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("create table t(a)")
    for name, said in (
        ("text", "not a vault"),
        ("empty", "empty file"),
        ("folder", "is a folder"),
        ("other.db", "not a vault"),
    ):
        assert said in command.fails(5, "--vault", name, "list")
    assert "does not exist" not in command.fails(6, "--vault", "no/such/folder/v", "list")


def test_newer_format(made: Command) -> None:
    import sqlite3

    with sqlite3.connect(made.folder / "test.vault") as database:
        database.execute("pragma user_version = 99")
    database.close()
    assert "upgrade ironsecrets" in made.fails(4, "list")


def test_json_everywhere(made: Command) -> None:
    for arguments in (
        ("status",),
        ("list",),
        ("agent", "list"),
        ("grants",),
        ("leases",),
        ("audit", "verify"),
        ("audit", "checkpoint"),
        ("audit", "export", "out"),
        ("grant", "agent_one", "**"),
        ("agent", "add", "agent_one"),
    ):
        json.loads(made.ok(*arguments, "--json").text)
    made.ok("put", "k", "--json", stdin="x")
    for line in made.ok("audit", "log", "--json").text.splitlines():
        json.loads(line)


def test_no_colour_and_no_cut_off_tables_in_a_pipe(made: Command) -> None:
    made.ok("put", "a/" + "n" * 200, "--description", "d" * 300, stdin="x")
    made.env["COLUMNS"] = "40"
    listed = made.ok("list").text
    assert "\x1b" not in listed
    assert "n" * 200 in listed
    assert "d" * 300 in listed


def test_help_shows_an_example_each(command: Command) -> None:
    assert "Example:" in command.ok("--help").text
    for name in ("init", "put", "import", "get", "list", "grant", "revoke", "run", "audit verify", "agent add", "tour"):
        assert "Example: " in command.ok(*name.split(), "--help").text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(command: Command, shell: str) -> None:
    assert "_IRONSECRETS_COMPLETE" in command.ok("completion", shell).text
    words = {"COMP_WORDS": "ironsecrets au", "COMP_CWORD": "1", "_IRONSECRETS_COMPLETE": "bash_complete"}
    assert b"audit" in command.run(env=words).out


def test_usage_errors(made: Command) -> None:
    for arguments in (("nonsense",), ("put",), ("grant", "a", "b", "--ttl", "soon"), ("audit", "verify", "f")):
        assert made.run(*arguments).status == 2


def test_a_closed_pipe_is_no_error(made: Command) -> None:
    import subprocess

    from tests.conftest import COMMAND

    shell = f"'{COMMAND}' audit log --json | head -c 1"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, cwd=made.folder, env=made.env, timeout=60)
    assert b"Traceback" not in done.stderr


def test_the_tour(command: Command) -> None:
    done = command.ok("tour")
    assert "Every step did what it says." in done.text
    assert done.text.count("$ ironsecrets") >= 12
    assert "integrity failure" in done.text
    assert sys.executable not in done.text
