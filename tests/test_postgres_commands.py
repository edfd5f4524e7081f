"""The same commands with ``postgresql://...`` where a path stood, and what they say where it cannot be."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import ironsecrets
from properties.worlds import MASTER_KEY
from tests import postgres
from tests.clusters import Server, TlsFront, certificate, folder
from tests.conftest import Command

FUTURE = "2100-01-01T00:00Z"
PASSWORD = "pw-of-the-service-role"


@pytest.fixture
def shared(command: Command) -> Command:
    """The command with a vault in PostgreSQL."""
    command.env["IRONSECRETS_VAULT"] = postgres.fresh("1s")
    command.ok("init")
    return command


def test_the_same_commands(shared: Command) -> None:
    assert "already" in shared.fails(1, "init")
    shared.ok("put", "openai/api-key", "--env", "production", stdin="sk-proj-first")
    shared.ok("grant", "agent_one", "openai/*", "--env", "production", "--ttl", "1h")
    assert shared.ok("get", "openai/api-key", "--env", "production", "--reveal").text.strip() == "sk-proj-first"
    script = 'test "$OPENAI_API_KEY" = sk-proj-first && ! env | grep -q ^IRONSECRETS'
    shared.ok("run", "--agent", "agent_one", "--env", "production", "--", "sh", "-c", script)
    shared.ok("put", "openai/api-key", "--env", "production", stdin="sk-proj-second")
    shared.ok("rollback", "openai/api-key", "--env", "production", "--to", "1")
    destroyed = shared.run("destroy", "openai/api-key", "--env", "production", "--version", "2")
    assert destroyed.status == 0
    assert "PostgreSQL once it has vacuumed" in destroyed.error
    shared.ok("rotate-key")
    shared.ok("revoke", "--agent", "agent_one")
    assert shared.run("run", "--agent", "agent_one", "--env", "production", "--", "true").status == 3
    assert "verified" in shared.ok("audit", "verify").text
    status = json.loads(shared.ok("status", "--json").text)
    assert status["path"].startswith("postgresql://")
    assert "postgres@" not in status["path"]
    checks = {one["check"]: one["verdict"] for one in json.loads(shared.ok("doctor", "--json").text)}
    assert checks["server"] == checks["log and records"] == "ok"
    assert checks["role"] == "warning", "the administrator may do everything"
    assert "vault in a file" in shared.fails(1, "compact")


def test_there_and_back(made: Command) -> None:
    made.ok("put", "a/key", stdin="the value")
    made.ok("grant", "agent_one", "a/key")
    root = json.loads(made.ok("status", "--json").text)["root"]
    there = postgres.fresh()
    moved = json.loads(made.ok("migrate", "--to", there, "--json").text)
    assert moved["root"] == root
    assert moved["entries"] > 2
    assert root in made.ok("--vault", there, "migrate", "--to", "back.vault").text
    assert made.ok("--vault", "back.vault", "get", "a/key", "--reveal").text.strip() == "the value"
    assert "verified" in made.ok("--vault", "back.vault", "audit", "verify").text
    assert "nothing was changed" in made.fails(1, "migrate", "--to", there)
    assert "nothing was changed" in made.fails(1, "migrate", "--to", "back.vault")


def test_a_backup_of_a_shared_vault_is_a_file(shared: Command) -> None:
    shared.ok("put", "a/key", stdin="the value")
    shared.ok("backup", "copy.vault")
    assert (shared.folder / "copy.vault").stat().st_mode & 0o777 == 0o600
    assert shared.ok("--vault", "copy.vault", "get", "a/key", "--reveal").text.strip() == "the value"
    again = postgres.fresh()
    assert "the log says so" in shared.ok("--vault", again, "restore", "copy.vault").text
    assert "verified" in shared.ok("--vault", again, "audit", "verify").text
    assert "nothing was changed" in shared.fails(1, "--vault", again, "restore", "copy.vault")
    with ironsecrets.open_vault(again, master_key=MASTER_KEY) as vault:
        assert vault.operator("alice").reveal("a/key", environment="development").text() == "the value"
    third = postgres.fresh()
    ironsecrets.restore_vault(shared.folder / "copy.vault", third, master_key=MASTER_KEY)


def test_the_owner_provides_for_a_service(command: Command) -> None:
    owner = postgres.fresh()
    with psycopg.connect(postgres.server(), autocommit=True) as admin:
        admin.execute("CREATE ROLE commander LOGIN")
    assert "no role of that name" in command.fails(7, "--vault", owner, "schema", "--service", "nobody")
    printed = command.ok("--vault", owner, "schema", "--service", "commander", "--print").text
    assert 'GRANT INSERT ON "ironsecrets".entries TO "commander";' in printed
    service = owner.replace("postgres:@", "commander@")
    assert "may not do that" in command.fails(7, "--vault", service, "init")
    command.ok("--vault", owner, "schema", "--service", "commander")
    command.ok("--vault", service, "init")
    command.ok("--vault", service, "put", "a/key", stdin="the value")
    checks = {
        one["check"]: one["verdict"] for one in json.loads(command.ok("--vault", service, "doctor", "--json").text)
    }
    assert checks["role"] == "ok"
    assert "may not do that" in command.fails(7, "--vault", service, "audit", "archive", "segments", "--before", FUTURE)
    command.ok("--vault", owner, "schema", "--service", "commander", "--archives")
    command.ok("--vault", service, "audit", "archive", "segments", "--before", FUTURE)
    assert "a file makes its own" in command.run("--vault", "x.vault", "schema").error
    with psycopg.connect(postgres.server(), autocommit=True) as admin:
        admin.execute("DROP OWNED BY commander")
        admin.execute("DROP ROLE commander")


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    """A server that asks the role ``service`` for a password, and ``careful`` for TLS."""
    place = folder()
    server = Server(place / "one")
    try:
        server.initialise()
        rules = server.data / "pg_hba.conf"
        text = rules.read_text()
        rules.write_text(
            "host all service 127.0.0.1/32 scram-sha-256\nhostssl all careful 127.0.0.1/32 trust\n"
            "host all careful 127.0.0.1/32 reject\n" + text
        )
        server.start()
        server.ask(f"CREATE ROLE service LOGIN PASSWORD '{PASSWORD}'")
        server.ask("CREATE ROLE careful LOGIN")
        yield server
    finally:
        server.kill()
        shutil.rmtree(place, ignore_errors=True)


@pytest.mark.parametrize(
    ("url", "status", "said"),
    [
        ("postgresql://service:{pw}x@127.0.0.1:{port}/postgres", 7, "the password was refused"),
        ("postgresql://service@127.0.0.1:{port}/postgres", 7, "asks for a password"),
        ("postgresql://service:{pw}@127.0.0.1:{port}/postgres?schema=none", 7, "the schema is missing"),
        ("postgresql://service:{pw}@127.0.0.1:{port}/postgres?schema=theirs", 7, "may not do that"),
        ("postgresql://service:{pw}@127.0.0.1:{port}/none", 7, "no such database"),
        ("postgresql://service:{pw}@127.0.0.1:{port}/postgres?sslmode=require", 7, "agree on TLS"),
        ("postgresql://careful@127.0.0.1:{port}/postgres", 7, "asks for TLS"),
        ("postgresql://service:{pw}@127.0.0.1:1/postgres", 7, "nothing listens there"),
        ("postgresql://service:{pw}@no-such-host.invalid/postgres", 7, "no such host"),
        ("postgresql://service:{pw}@127.0.0.1:99999999/postgres", 7, ""),
        ("postgresql://service:{pw}%zz@127.0.0.1:{port}/postgres", 7, "can read"),
        ("postgresql://service:{pw}@127.0.0.1:{port}/postgres?no_such_option={pw}", 7, "can read"),
        ("postgresql://service:{pw}@127.0.0.1:{port}/postgres?bound=-1", 7, "the bound"),
        ("postgresql://service:{pw}@127.0.0.1:{port}/postgres?pool=0", 7, "the pool"),
        ("postgresql://service:{pw}@127.0.0.1:{port}/postgres?vault=A%20B", 7, "the vault"),
        ("postgresql://service:{pw}@[127.0.0.1:{port}/postgres", 7, "can read"),
        ("postgresql://postgres@127.0.0.1:{port}/postgres?schema=ours", 6, "there is no vault"),
    ],
)
def test_what_is_wrong_is_one_line_without_a_password(
    command: Command, guarded: Server, url: str, status: int, said: str
) -> None:
    guarded.ask("DROP SCHEMA IF EXISTS theirs CASCADE")
    command.ok("--vault", f"{guarded.url}?schema=theirs", "schema")
    command.ok("--vault", f"{guarded.url}?schema=ours", "schema")
    where = url.format(pw=PASSWORD, port=guarded.port)
    for arguments in (("status",), ("audit", "verify"), ("put", "a/key")):
        assert said in command.fails(status, "--vault", where, *arguments, stdin="value")
    assert PASSWORD not in command.history.decode()


def test_schemas_of_other_versions(command: Command, guarded: Server) -> None:
    where = f"{guarded.url}?schema=versions"
    command.ok("--vault", where, "schema")
    command.ok("--vault", where, "init")
    guarded.ask("INSERT INTO versions.meta VALUES (99)")
    assert "newer version" in command.fails(4, "--vault", where, "status")
    guarded.ask("DELETE FROM versions.meta")
    assert "older version" in command.fails(7, "--vault", where, "status")


def test_what_is_refused_leaves_no_schema(command: Command, guarded: Server) -> None:
    where = f"{guarded.url}?schema=untouched"
    command.ok("init")
    wrong = {"IRONSECRETS_PASSPHRASE": "wrong"}
    assert command.run("migrate", "--to", where, env=wrong).status == 4
    assert guarded.ask("SELECT 1 FROM pg_namespace WHERE nspname = 'untouched'") == []
    command.ok("migrate", "--to", where)


def test_a_standby_takes_no_vault(command: Command, guarded: Server) -> None:
    where = f"{guarded.url}?options=-c%20default_transaction_read_only%3Don"
    assert "standby" in command.fails(7, "--vault", where, "status")


def test_a_password_from_where_libpq_looks(command: Command, guarded: Server) -> None:
    where = f"postgresql://service@127.0.0.1:{guarded.port}/postgres?schema=passworded"
    command.ok("--vault", f"{guarded.url}?schema=passworded", "schema", "--service", "service")
    command.env["PGPASSWORD"] = PASSWORD
    command.ok("--vault", where, "init")
    del command.env["PGPASSWORD"]
    file = command.folder / "pgpass"
    file.write_text(f"127.0.0.1:*:*:service:{PASSWORD}\n")
    file.chmod(0o600)
    command.env["PGPASSFILE"] = str(file)
    assert PASSWORD not in command.ok("--vault", where, "status").text


def test_tls_is_libpqs(command: Command, guarded: Server, tmp_path: Path) -> None:
    front = TlsFront(guarded.port, certificate(tmp_path / "one.pem"))
    where = f"postgresql://postgres@127.0.0.1:{front.port}/postgres?schema=tls"
    command.ok("--vault", f"{guarded.url}?schema=tls", "schema")
    try:
        trusting = f"{where}&sslmode=verify-full&sslrootcert={tmp_path / 'one.pem'}"
        command.ok("--vault", trusting, "init")
        assert "created" not in command.ok("--vault", trusting, "status").text
        other = certificate(tmp_path / "two.pem")
        distrusting = f"{where}&sslmode=verify-full&sslrootcert={other}"
        assert "is not trusted" in command.fails(7, "--vault", distrusting, "status")
    finally:
        front.close()


def test_without_psycopg_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "psycopg.conninfo", None)
    with pytest.raises(ironsecrets.VaultError, match=r"install ironsecrets\[postgres\]"):
        ironsecrets.open_vault("postgresql://localhost/db", master_key=MASTER_KEY)
