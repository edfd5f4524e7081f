"""What the tests share: vaults on disk, and the installed command."""

import base64
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

import ironsecrets
from properties.worlds import MASTER_KEY
from tests.forking import ForkServer
from tests.provider import Provider

COMMAND = Path(sys.executable).parent / "ironsecrets"
SERVER = ForkServer()
MASTER_KEY_TEXT = base64.b64encode(MASTER_KEY).decode()


@attrs.frozen
class Done:
    """What a finished command left behind."""

    status: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def error(self) -> str:
        return self.err.decode()


@attrs.define
class Command:
    """The command in a folder of its own. What the environment decides before it begins is started, not forked."""

    folder: Path
    env: dict[str, str]
    history: bytes = b""

    def run(self, *arguments: str, stdin: bytes | str = b"", env: dict[str, str] | None = None) -> Done:
        given = stdin.encode() if isinstance(stdin, str) else stdin
        environment = {**self.env, **(env or {})}
        if SERVER.fits(environment):
            status, out, err = SERVER.run(
                arguments, folder=self.folder, environment=environment, stdin=given, timeout=60
            )
        else:
            status, out, err = self._start(arguments, environment, given)
        self.history += out + err
        return Done(status, out, err)

    def _start(self, arguments: Sequence[str], environment: dict[str, str], given: bytes) -> tuple[int, bytes, bytes]:
        done = subprocess.run(
            [str(COMMAND), *arguments],
            input=given,
            capture_output=True,
            cwd=self.folder,
            env=environment,
            timeout=60,
            start_new_session=True,
        )
        return done.returncode, done.stdout, done.stderr

    def ok(self, *arguments: str, stdin: bytes | str = b"") -> Done:
        done = self.run(*arguments, stdin=stdin)
        assert done.status == 0, done.error
        return done

    def fails(self, status: int, *arguments: str, stdin: bytes | str = b"", env: dict[str, str] | None = None) -> str:
        """The one line of an error with this exit status."""
        done = self.run(*arguments, stdin=stdin, env=env)
        assert done.status == status, (done.status, done.out, done.error)
        lines = [line for line in done.error.splitlines() if not line.startswith("warning: ")]
        assert len(lines) == 1, lines
        assert "Traceback" not in done.error
        return lines[0]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """The command with an unlockable vault path, nothing made yet."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("IRONSECRETS", "IRON_SECRETS"))}
    env |= {"IRONSECRETS_VAULT": "test.vault", "IRON_SECRETS_MASTER_KEY": MASTER_KEY_TEXT, "COLUMNS": "200"}
    return Command(tmp_path, env)


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """Each test begins with the usual umask, whatever the one before has tried."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def made(command: Command) -> Command:
    """The command with a vault."""
    command.ok("init")
    return command


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a vault may be made."""
    return tmp_path / "test.vault"


Opener = Callable[..., ironsecrets.Vault]


@pytest.fixture
def opened(path: Path) -> Iterator[Opener]:
    """Open (or first create) the vault at ``path`` with the test's master key; closed at the end."""
    vaults: list[ironsecrets.Vault] = []

    def open_it(**options: Any) -> ironsecrets.Vault:
        door = ironsecrets.open_vault if path.exists() else ironsecrets.create_vault
        vaults.append(door(path, master_key=MASTER_KEY, **options))
        return vaults[-1]

    yield open_it
    for vault in vaults:
        vault.close()


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A local server that plays a provider."""
    made = Provider()
    yield made
    made.close()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What the fault regime has tried: ``record_property("faults", (what, how many, how many lost))``; and figures:
    ``record_property("figures", (of what, {name: value}))``."""
    figures: dict[str, list[int]] = {}
    measured: list[tuple[str, dict[str, object]]] = []
    for report in (*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")):
        for name, figure in getattr(report, "user_properties", ()):
            if name == "figures":
                measured.append(figure)
            if name == "faults":
                what, tried, lost = figure
                so_far = figures.setdefault(what, [0, 0])
                so_far[0] += tried
                so_far[1] += lost
    if figures:
        terminalreporter.section("faults")
        for what, (tried, lost) in sorted(figures.items()):
            terminalreporter.write_line(f"{what:64} {tried:9,} tried {lost:6,} lost")
    if measured:
        terminalreporter.section("figures")
        for what, values in measured:
            terminalreporter.write_line(f"{what:40} {', '.join(f'{name} {value}' for name, value in values.items())}")
