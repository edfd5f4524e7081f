"""The n-th call that reaches the system fails, for every n, once or for good.

Each failure is a typed error or none at all; what was acknowledged is there; and the handle goes on, or says that it
does not.
"""

import itertools
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest
from returns.result import Success

import ironsecrets
from interpreters.doors import open_on
from interpreters.sqlite_store import SqliteStore
from properties.worlds import MASTER_KEY, credential
from tests.faults.depth import DEEP
from tests.faults.histories import ENVIRONMENT, History
from tests.faults.syscalls import CALLS, CODES, Plan, failing
from tests.faulty_vfs import FaultyVFS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the calls' names and shapes are Linux's")

names = itertools.count()
Act = Callable[[History], None]


def script() -> Iterator[Act]:
    """What a service does in a day."""
    where = ENVIRONMENT
    yield lambda h: h.vault.operator("o").put("a", b"x" * 9000, environment=where)  # type: ignore
    yield lambda h: h.vault.operator("o").grant("agent_one", "**", environment=where)  # type: ignore
    yield lambda h: h.vault.acting_for("agent_one").lease("a", environment=where).release()
    yield lambda h: h.vault.operator("o").destroy("a", environment=where, version=1)  # type: ignore
    yield lambda h: h.vault.operator("o").rotate_key()  # type: ignore
    yield lambda h: h.vault.snapshot()
    yield lambda h: h.vault.operator("o").revoke_all()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vault whose process was killed: its write-ahead log is there, to be recovered by whoever opens it."""
    folder = tmp_path_factory.mktemp("template")
    with ironsecrets.create_vault(folder / "vault", master_key=MASTER_KEY) as vault:
        for number in range(5):
            vault.operator("o").put(f"n{number}", b"y" * 3000, environment=ENVIRONMENT)
        killed = folder / "killed"
        killed.mkdir()
        for file in folder.glob("vault*"):
            shutil.copy(file, killed / file.name)
    return killed


def day(path: Path, store: Callable[[], SqliteStore]) -> tuple[int, list[str]]:
    """A day under faults: the size of the log that was acknowledged, and what else than a typed error came."""
    acknowledged, wrong = 6, []

    def heard(size: int) -> None:
        nonlocal acknowledged
        acknowledged = size

    try:
        vault = open_on(store(), credential())
    except ironsecrets.VaultError:
        return acknowledged, wrong
    except Exception as error:
        return acknowledged, [f"opening raised {type(error).__name__}: {error}"]
    history = History(vault, random.Random(1), heard)
    for number, act in enumerate(script()):
        try:
            act(history)
            heard(vault._engine.state.log.size)
        except ironsecrets.VaultError as error:
            if "\n" in str(error):
                wrong.append("an error of more than one line")
        except Exception as error:
            wrong.append(f"step {number} raised {type(error).__name__}: {error}")
    try:
        vault.close()
    except Exception as error:
        wrong.append(f"closing raised {type(error).__name__}")
    return acknowledged, wrong


def checked(path: Path, acknowledged: int) -> list[str]:
    try:
        with ironsecrets.open_vault(path, master_key=MASTER_KEY) as vault:
            lost = [f"{vault.state.log.size} of {acknowledged} entries"] * (vault.state.log.size < acknowledged)
            sound = [] if isinstance(vault.verify(), Success) else ["does not verify"]
            vault.operator("o").put("after", "x", environment=ENVIRONMENT)
            return lost + sound
    except ironsecrets.VaultError as error:
        return [f"afterwards: {error}"]


def copied(template: Path, folder: Path) -> Path:
    shutil.copytree(template, folder)
    return folder / "vault"


def store_at(path: Path) -> Callable[[], SqliteStore]:
    return lambda: SqliteStore(path, busy_timeout=0.02)


@pytest.mark.parametrize("persistent", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("call", CALLS)
def test_the_nth_system_call_fails(
    template: Path,
    tmp_path: Path,
    call: str,
    persistent: bool,
    record_property: Callable[[str, object], None],
) -> None:
    codes: list[tuple[str, int, bool]] = [(name, code, False) for name, code in CODES.items()]
    if call in ("pread64", "pwrite64"):
        codes.append(("short", 0, True))
    if not DEEP:
        codes = [codes[0], codes[-1]]
    if call == "fcntl" and persistent:
        # A lock of the -shm file that fails is to SQLite one that somebody holds: it waits for ten seconds each time.
        codes = [("EIO", CODES["EIO"], False)]
    injected, wrong = 0, list[str]()
    for name, code, short in codes:
        # A lock that could not be let go of makes SQLite wait for itself for ten seconds: those are sampled.
        often = call == "fcntl" or (not DEEP and call in ("pread64", "pwrite64", "fstat"))
        stride = 10 if often else 1
        for first in itertools.count(1, stride):
            folder = tmp_path / f"{name}{first}"
            path = copied(template, folder)
            with failing(Plan(call, first, code, persistent, short)) as plan:
                acknowledged, found = day(path, store_at(path))
            injected += plan.failed
            where = f"{call} {first} {name}"
            wrong += [f"{where}: {one}" for one in found + checked(path, acknowledged)]
            shutil.rmtree(folder)
            if not plan.failed or (call == "fcntl" and persistent):
                break
    record_property("faults", (f"failing system calls, {'for good' if persistent else 'once'}", injected, len(wrong)))
    assert not wrong, (len(wrong), wrong[:6])


@pytest.mark.parametrize("persistent", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("operation", ["sync", "write"])
@pytest.mark.parametrize("kind", [apsw.IOError, apsw.FullError])
def test_the_nth_write_or_sync_fails(
    template: Path,
    tmp_path: Path,
    operation: str,
    kind: type[apsw.Error],
    persistent: bool,
    record_property: Callable[[str, object], None],
) -> None:
    injected, wrong = 0, list[str]()
    for first in itertools.count(1, 1 if DEEP or operation == "sync" else 4):
        folder = tmp_path / str(first)
        path = copied(template, folder)
        vfs = FaultyVFS(f"nth{next(names)}")
        made = failed = 0

        def check(called: str, growth: int, first: int = first) -> None:
            nonlocal made, failed
            if called == operation:
                made += 1
                if made == first or (persistent and made > first):
                    failed += 1
                    raise kind("injected")

        vfs.check = check
        acknowledged, found = day(path, lambda path=path, vfs=vfs: SqliteStore(path, busy_timeout=0.02, vfs=vfs.name))
        vfs.check = lambda operation, growth: None
        injected += failed
        wrong += [f"{operation} {first}: {one}" for one in found + checked(path, acknowledged)]
        shutil.rmtree(folder)
        if not failed:
            break
    record_property("faults", (f"failing {operation}, {'for good' if persistent else 'once'}", injected, len(wrong)))
    assert not wrong, (len(wrong), wrong[:6])
