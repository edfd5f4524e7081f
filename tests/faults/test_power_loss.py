"""Power is lost at any moment: the vault is as before or as after each command, and what was acknowledged is there.

``IRONSECRETS_FAULTS=deep`` tries every operation of many histories; without, a sample that takes a minute.
"""

import itertools
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
from returns.result import Failure, Success

import ironsecrets
from interpreters import sqlite_store
from interpreters.doors import open_on
from interpreters.proof import leaves_of
from interpreters.sqlite_schema import harden, run
from interpreters.sqlite_store import SqliteStore
from interpreters.vault import Vault
from ironsecrets.merkle import Frontier
from properties.worlds import MASTER_KEY, credential
from tests.faults.depth import DEEP
from tests.faults.histories import History
from tests.faults.power import Disk, Operation, Recorder, RecordingVFS, everything, losses, read, written

numbers = itertools.count()


@attrs.define
class Recording:
    """A history as the disk saw it. ``acknowledged`` is (operations so far, size of the log) after each command."""

    before: Disk
    operations: list[Operation]
    acknowledged: list[tuple[int, int]]
    roots: list[bytes]

    def size_at(self, point: int) -> int:
        """How many entries had been acknowledged when ``point`` operations were done."""
        return max((size for operations, size in self.acknowledged if operations <= point), default=1)


def recorded(folder: Path, seed: int, commands: int) -> Recording:
    folder.mkdir()
    path = folder / "vault"
    ironsecrets.create_vault(path, master_key=MASTER_KEY).close()
    if seed % 2:
        # Every other history is that of a vault that was restored from a backup.
        path.rename(folder / "old")
        ironsecrets.restore_vault(folder / "old", path, master_key=MASTER_KEY, operator="o")
        (folder / "old").unlink()
    before, recorder = read(folder), Recorder()
    vfs = RecordingVFS(f"recording{next(numbers)}", recorder)
    acknowledged: list[tuple[int, int]] = []
    vault = open_on(SqliteStore(path, vfs=vfs.name), credential())
    # Checkpoints come all the time, so that every history has some.
    vault._engine.store._checkpoint_pages = 12
    history = History(vault, random.Random(seed), lambda size: acknowledged.append((len(recorder), size)))
    for _ in range(commands):
        history.step()
    recorder.on = False
    leaves = leaves_of(vault._engine, vault.state.log.size)
    frontier, roots = Frontier(), [Frontier().root()]
    for leaf in leaves:
        frontier = frontier.append(leaf)
        roots.append(frontier.root())
    vault.close()
    return Recording(before, recorder.operations, acknowledged, roots)


def survived(folder: Path, disk: Disk, recording: Recording, acknowledged: int) -> str | None:
    """None, or what was lost."""
    folder.mkdir()
    try:
        written(disk, folder)
        with ironsecrets.open_vault(folder / "vault", master_key=MASTER_KEY) as vault:
            return _sound(vault, recording, acknowledged)
    except ironsecrets.VaultError as error:
        return str(error)
    finally:
        shutil.rmtree(folder)


def _sound(vault: Vault, recording: Recording, acknowledged: int) -> str | None:
    log = vault.state.log
    if log.size < acknowledged:
        return f"{log.size} entries are left of {acknowledged} that were acknowledged"
    if log.size >= len(recording.roots) or log.root() != recording.roots[log.size]:
        return "the log is none that there ever was"
    match vault.verify():
        case Success(_):
            return None
        case Failure(divergence):
            return divergence.line()
        case _:
            raise AssertionError


def tried(folder: Path, recording: Recording, *, seed: int, points: list[int], each: int) -> tuple[int, list[str]]:
    chance, lost, count = random.Random(seed), [], 0
    for point, disk in losses(recording.before, recording.operations, chance, points=points, each=each):
        why = survived(folder / f"image{count}", disk, recording, recording.size_at(point))
        count += 1
        if why is not None:
            lost.append(f"seed {seed}, operation {point}: {why}")
    return count, lost


def counted(record_property: Callable[[str, object], None], name: str, count: int, lost: int) -> None:
    record_property("faults", (name, count, lost))


@pytest.mark.parametrize("seed", range(30 if DEEP else 8))
def test_every_crash_point_of_a_small_history(
    tmp_path: Path, seed: int, record_property: Callable[[str, object], None]
) -> None:
    recording = recorded(tmp_path / "run", seed, 12)
    points = list(range(len(recording.operations) + 1))
    count, lost = tried(tmp_path, recording, seed=seed, points=points, each=3 if DEEP else 1)
    counted(record_property, "power loss, every operation of small histories", count, len(lost))
    assert not lost, lost[:3]


@pytest.mark.parametrize("seed", range(1000, 1015 if DEEP else 1003))
def test_random_crash_points_of_a_long_history(
    tmp_path: Path, seed: int, record_property: Callable[[str, object], None]
) -> None:
    recording = recorded(tmp_path / "run", seed, 150)
    chance = random.Random(seed)
    points = sorted(chance.sample(range(len(recording.operations) + 1), 600 if DEEP else 200))
    count, lost = tried(tmp_path, recording, seed=seed, points=points, each=2 if DEEP else 1)
    counted(record_property, "power loss, long histories", count, len(lost))
    assert not lost, lost[:3]


@pytest.mark.parametrize("seed", range(2000, 2012 if DEEP else 2003))
def test_a_second_loss_during_recovery(
    tmp_path: Path, seed: int, record_property: Callable[[str, object], None]
) -> None:
    recording = recorded(tmp_path / "run", seed, 25)
    chance = random.Random(seed)
    points = sorted(chance.sample(range(len(recording.operations) + 1), 40 if DEEP else 12))
    count, lost = 0, []
    for point, disk in losses(recording.before, recording.operations, chance, points=points, each=1):
        folder = tmp_path / f"recovery{point}"
        folder.mkdir()
        written(disk, folder)
        recorder = Recorder()
        vfs = RecordingVFS(f"recovering{next(numbers)}", recorder)
        vault = open_on(SqliteStore(folder / "vault", vfs=vfs.name), credential())
        vault.close()
        again = Recording(disk, recorder.operations, [(0, recording.size_at(point))], recording.roots)
        every = list(range(len(again.operations) + 1))
        more, missing = tried(folder, again, seed=seed, points=every, each=1)
        count, lost = count + more, lost + missing
    counted(record_property, "power loss during recovery", count, len(lost))
    assert not lost, lost[:3]


@pytest.mark.parametrize("seed", range(3000, 3006 if DEEP else 3002))
def test_a_loss_during_backup_and_restore(
    tmp_path: Path, seed: int, record_property: Callable[[str, object], None]
) -> None:
    """A backup and what is restored from it are there whole, or not at all; the vault itself as ever."""
    folder = tmp_path / "run"
    folder.mkdir()
    ironsecrets.create_vault(folder / "vault", master_key=MASTER_KEY).close()
    recorder, done = Recorder(on=False), dict[str, tuple[int, int]]()
    with everything(recorder, folder):
        vault = ironsecrets.open_vault(folder / "vault", master_key=MASTER_KEY)
        history = History(vault, random.Random(seed), lambda size: None, rekeys=False, archives=False)
        for _ in range(30):
            history.step()
        vault._engine.store.settle()
        before, recorder.on, size = read(folder), True, vault.state.log.size
        vault.backup(folder / "backup")
        done["backup"] = (len(recorder), size)
        history.step()
        ironsecrets.restore_vault(folder / "backup", folder / "restored", master_key=MASTER_KEY, operator="o")
        done["restored"] = (len(recorder), size + 1)
        recorder.on = False
        vault.close()
    operations, chance = recorder.operations, random.Random(seed)
    expected = {"vault": (0, size), **done}
    every = list(range(len(operations) + 1))
    disks = losses(before, operations, chance, points=every, each=4 if DEEP else 1)
    count, lost = _missing(tmp_path, disks, expected)
    counted(record_property, "power loss during backup and restore", count, len(lost))
    assert not lost, (seed, lost[:3])
    # The negative control: names whose folder was not synced.
    careless = [attrs.evolve(one, file="", kind="sync") if one.kind == "sync-folder" else one for one in operations]
    _, lost = _missing(tmp_path, losses(before, careless, chance, points=every[-1:], each=20), expected)
    assert lost


def _missing(
    folder: Path, disks: Iterator[tuple[int, Disk]], expected: dict[str, tuple[int, int]]
) -> tuple[int, list[str]]:
    """How many disks there were, and which lack a vault, or hold one that is not whole: by name, since which
    operation it must be there, and with how many entries."""
    count, lost = 0, list[str]()
    for point, disk in disks:
        count += 1
        image = folder / "image"
        image.mkdir()
        written(disk, image)
        for name, (since, entries) in expected.items():
            if (image / name).exists() or point >= since:
                why = _whole(image / name, entries)
                if why is not None:
                    lost.append(f"operation {point}, {name}: {why}")
        shutil.rmtree(image)
    return count, lost


def _whole(path: Path, entries: int) -> str | None:
    try:
        with ironsecrets.open_vault(path, master_key=MASTER_KEY) as vault:
            if vault.state.log.size < entries:
                return f"{vault.state.log.size} entries are left of {entries}"
            return None if isinstance(vault.verify(), Success) else "it does not verify"
    except ironsecrets.VaultError as error:
        return str(error)


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
def test_the_simulator_finds_what_is_not_durable(
    tmp_path: Path,
    synchronous: str,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    """The negative control: with less than FULL, acknowledged commands are lost, or the simulator proves nothing."""

    def weaker(connection: object, busy_timeout: float) -> None:
        harden(connection, busy_timeout)  # type: ignore
        run(connection, f"PRAGMA synchronous = {synchronous}")

    monkeypatch.setattr(sqlite_store, "harden", weaker)
    recording = recorded(tmp_path / "run", 7, 40)
    monkeypatch.undo()
    points = random.Random(7).sample(range(len(recording.operations) + 1), 60)
    count, lost = tried(tmp_path, recording, seed=7, points=points, each=1)
    record_property("faults", (f"negative control, synchronous={synchronous}: must lose", count, len(lost)))
    assert len(lost) > count // 10
