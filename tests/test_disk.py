"""A disk that is full or fails: a clear line, nothing lost, and revoking still works."""

import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from returns.result import Success

import ironsecrets
from interpreters.doors import open_on
from interpreters.sqlite_store import SqliteStore
from interpreters.vault import Vault
from properties.worlds import MASTER_KEY, credential
from tests.conftest import Command, Opener
from tests.faulty_vfs import FaultyVFS

numbers = itertools.count()


@pytest.fixture
def faulty(path: Path) -> Iterator[tuple[Vault, FaultyVFS]]:
    ironsecrets.create_vault(path, master_key=MASTER_KEY).close()
    name = f"faulty{next(numbers)}"
    vfs = FaultyVFS(name)
    vault = open_on(SqliteStore(path, vfs=name), credential())
    yield vault, vfs
    vfs.check = lambda operation, growth: None
    vault.close()


def full(operation: str, growth: int) -> None:
    if operation == "write" and growth > 0:
        raise apsw.FullError("database or disk is full")


def test_a_full_disk_refuses_and_loses_nothing(faulty: tuple[Vault, FaultyVFS]) -> None:
    vault, vfs = faulty
    operator = vault.operator("o")
    operator.put("a", "x", environment="development")
    vfs.check = full
    with pytest.raises(ironsecrets.StoreFull, match="no space left"):
        operator.put("a", "y" * 10_000, environment="development")
    vfs.check = lambda operation, growth: None
    assert operator.put("a", "z", environment="development") == 2
    assert isinstance(vault.verify(), Success)


def test_revoking_works_on_a_full_disk(path: Path, faulty: tuple[Vault, FaultyVFS]) -> None:
    vault, vfs = faulty
    operator = vault.operator("o")
    operator.put("a", "x", environment="development")
    operator.grant("agent_one", "a", environment="development")
    lease = vault.acting_for("agent_one").lease("a", environment="development")
    ballast = Path(f"{path}-ballast")
    assert ballast.stat().st_blocks * 512 >= 512 * 1024

    def until_released(operation: str, growth: int) -> None:
        if ballast.exists():
            full(operation, growth)

    vfs.check = until_released
    with pytest.raises(ironsecrets.StoreFull):
        operator.put("b", "x" * 5000, environment="development")
    assert ballast.exists(), "a put is no reason to give it up"
    operator.revoke_all()
    assert not ballast.exists()
    with pytest.raises(ironsecrets.Refused):
        lease.text()
    assert isinstance(vault.verify(), Success)
    vfs.check = lambda operation, growth: None
    vault.close()
    assert ballast.exists(), "filled again when there is room"


@pytest.mark.parametrize("operation", ["write", "sync"])
def test_each_failing_call_leaves_the_vault_as_before_or_after(faulty: tuple[Vault, FaultyVFS], operation: str) -> None:
    """The n-th call fails, for every n that a command makes; what was acknowledged is there."""
    vault, vfs = faulty
    operator = vault.operator("o")
    acknowledged, failures = 0, 0
    for n in range(1, 12):
        left = n

        def failing(called: str, growth: int) -> None:
            nonlocal left
            left -= called == operation
            if left == 0:
                raise apsw.IOError("disk I/O error")

        vfs.check = failing
        try:
            assert operator.put("a", f"value {n}", environment="development") > acknowledged
            acknowledged = len(vault.state.secrets.find("development", "a").versions)  # type: ignore
        except ironsecrets.StoreUnavailable:
            failures += 1
        vfs.check = lambda called, growth: None
        secret = vault.state.secrets.find("development", "a")  # type: ignore
        assert secret is None or len(secret.versions) >= acknowledged
        assert isinstance(vault.verify(), Success)
    assert failures >= 1


def test_a_commit_whose_fate_was_unknown_is_settled_by_its_request(
    path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """COMMIT raises although it was durable: the command counts, once."""
    vault = opened()
    store = vault._engine.store
    real = SqliteStore._commit

    def durable_but_raises(self: SqliteStore, batch: object) -> bool:
        real(self, batch)  # type: ignore
        raise ironsecrets.StoreUnavailable("the commit raised")

    monkeypatch.setattr(SqliteStore, "_commit", durable_but_raises)
    assert vault.operator("o").put("a", "x", environment="development") == 1
    monkeypatch.undo()
    assert vault.operator("o").put("a", "y", environment="development") == 2
    assert isinstance(vault.verify(), Success)
    assert store is vault._engine.store


def test_a_repeated_request_is_not_decided_again(path: Path, opened: Opener) -> None:
    vault = opened()
    from ironsecrets.principals import Operator
    from properties.strategies import ENVIRONMENTS, NAMES, PersonName, RequestId

    olga, request = Operator(PersonName("olga")), RequestId("rq_" + "7" * 32)
    draft = lambda: ironsecrets.NewVersion(name=NAMES[0], environment=ENVIRONMENTS[0], value=ironsecrets.Sensitive("x"))  # noqa: E731
    first = vault.execute(olga, draft(), request=request).unwrap()
    again = vault.execute(olga, draft(), request=request).unwrap()
    assert (again.seq, again.command, again.repeated) == (first.seq, first.command, True)
    refused = RequestId("rq_" + "8" * 32)
    for _ in range(2):
        asked = ironsecrets.Rollback(name=NAMES[0], environment=ENVIRONMENTS[0], to=9)
        assert vault.execute(olga, asked, request=refused).failure().code == "no-version"
    assert vault.state.log.size == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_place(made: Command) -> None:
    made.folder.chmod(0o500)
    try:
        assert "cannot be opened for writing" in made.fails(7, "list")
        assert made.run("--vault", "new.vault", "init").status == 7
    finally:
        made.folder.chmod(0o700)


def test_a_read_only_place_for_anybody(path: Path, monkeypatch: pytest.MonkeyPatch, opened: Opener) -> None:
    """Even root is refused by a connection that SQLite opens read-only."""
    opened().close()
    real = apsw.Connection

    def read_only(name: str, flags: int = 0, vfs: str | None = None) -> apsw.Connection:
        return real(name, flags=apsw.SQLITE_OPEN_READONLY if name != ":memory:" else 6)

    monkeypatch.setattr("interpreters.sqlite_store.apsw.Connection", read_only)
    with pytest.raises(ironsecrets.StoreUnavailable, match="writing"):
        vault = ironsecrets.open_vault(path, master_key=MASTER_KEY)
        vault.operator("o").put("a", "x", environment="development")


def test_creating_is_all_or_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("interpreters.sqlite_store.publish", failing)
    with pytest.raises(ironsecrets.StoreFull):
        ironsecrets.create_vault(path, master_key=MASTER_KEY)
    assert list(path.parent.iterdir()) == []
    monkeypatch.undo()
    path.touch()
    with pytest.raises(ironsecrets.VaultExists):
        ironsecrets.create_vault(path, master_key=MASTER_KEY)
    assert path.stat().st_size == 0
    with pytest.raises(ironsecrets.StoreUnavailable, match="does not exist"):
        ironsecrets.create_vault(path.parent / "no" / "v", master_key=MASTER_KEY)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounting takes root on Linux")
def test_a_really_full_disk(command: Command) -> None:
    """A small tmpfs, filled to the last block, through the installed command."""
    import subprocess

    place = command.folder / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        command.env["IRONSECRETS_VAULT"] = str(place / "v")
        command.ok("init")
        command.ok("put", "a", stdin="x")
        command.ok("grant", "agent_one", "a")
        with open(place / "filler", "wb", buffering=0) as filler:
            for size in (65536, 4096, 512, 1):
                try:
                    while True:
                        filler.write(bytes(size))
                except OSError:
                    continue
        line = command.fails(7, "put", "b", stdin=os.urandom(200_000))
        assert "no space left" in line
        command.ok("revoke", "--all")
        os.unlink(place / "filler")
        assert "verified" in command.ok("audit", "verify").text
        assert command.ok("get", "a", "--reveal").text == "x"
    finally:
        subprocess.run(["umount", str(place)], check=True)
