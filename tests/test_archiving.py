"""Retention: old entries in signed segment files, and what verification shows with and without them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from returns.primitives.exceptions import UnwrapFailedError
from returns.result import Success

import ironsecrets
from interpreters.archiving import segment_files
from interpreters.conversions import moment
from interpreters.doors import create_on, open_on
from interpreters.memory_store import MemoryStore
from interpreters.sinks import JsonLinesSink
from interpreters.sqlite_store import SqliteStore
from interpreters.store import Store
from interpreters.vault import Vault
from interpreters.witness import FileWitness
from ironsecrets.checkpoint import parse_verifier_key, verify_checkpoint
from ironsecrets.proof_files import check_proof
from properties import stores
from properties.worlds import EPOCH, SECOND, SetClock, credential, world
from tests.conftest import Command

ENVIRONMENT = "development"


@pytest.fixture(params=[stores.memory, stores.sqlite], ids=["memory", "sqlite"])
def store(request: pytest.FixtureRequest) -> Store:
    make: Callable[[], Store] = request.param
    return make()


def lived(store: Store, entries: int = 40) -> tuple[Vault, SetClock]:
    """A vault with one entry each second."""
    where = world()
    clock = where.clock
    assert isinstance(clock, SetClock)
    vault = create_on(store, credential(), world=where)
    operator = vault.operator("olga")
    operator.grant("agent_one", "k/*", environment=ENVIRONMENT)
    while vault.state.log.size < entries:
        clock.time += SECOND
        operator.put(f"k/{vault.state.log.size % 5}", "x", environment=ENVIRONMENT)
    return vault, clock


def archived(vault: Vault, seconds: int, folder: Path) -> None:
    vault.archive("olga", before=moment(EPOCH + seconds * SECOND), folder=folder)


def test_the_vault_goes_on_without_its_oldest_entries(store: Store, tmp_path: Path) -> None:
    vault, _ = lived(store)
    before, size = list(vault.entries()), vault.state.log.size
    old_note, root = vault.checkpoint(), vault.state.log.root()
    archived(vault, 20, tmp_path)
    done = vault.verify().unwrap()
    assert (done.entries, done.archived) == (size + 1, 21)
    assert list(vault.entries())[:-1] == before[21:]
    again = open_on(store, credential(), checkpoint=old_note, world=world(3))
    assert again.state == vault.state
    assert isinstance(again.verify(), Success)
    key = parse_verifier_key(vault.verifier_key()).unwrap()
    for seq in (21, size):
        assert isinstance(check_proof(vault.prove(seq), key), Success)
    with pytest.raises(ironsecrets.Refused) as caught:
        vault.prove(3)
    assert caught.value.refusal.code == "archived"
    for older in (1, 7, 21, 30):
        assert isinstance(check_proof(vault.consistency(older), key), Success)
    assert verify_checkpoint(old_note, key).unwrap().root == root
    # Once more, further on.
    archived(vault, 30, tmp_path)
    assert [(file.start, file.stop) for file in segment_files(tmp_path)] == [(0, 21), (21, 31)]
    assert isinstance(vault.verify(), Success)
    shown = vault.check_segments(tmp_path).unwrap()
    assert (shown.replayed, shown.hashed, shown.missing) == (31, 0, ())


def test_nothing_is_archived_twice_or_before_it_is_old(store: Store, tmp_path: Path) -> None:
    vault, _ = lived(store, 10)
    for seconds in (0, -50):
        with pytest.raises(ironsecrets.Refused) as caught:
            archived(vault, seconds, tmp_path)
        assert caught.value.refusal.code == "nothing-to-archive"
    archived(vault, 5, tmp_path)
    with pytest.raises(ironsecrets.Refused):
        archived(vault, 5, tmp_path)
    assert len(segment_files(tmp_path)) == 1
    assert not list(tmp_path.glob(".*"))


def test_what_segments_no_longer_show_is_said(store: Store, tmp_path: Path) -> None:
    vault, _ = lived(store)
    for seconds in (10, 20, 30):
        archived(vault, seconds, tmp_path)
    first, second, _ = segment_files(tmp_path)
    second.path.rename(tmp_path / "elsewhere")
    shown = vault.check_segments(tmp_path).unwrap()
    assert (shown.replayed, shown.hashed, shown.missing) == (11, 10, ((11, 21),))
    (tmp_path / "elsewhere").rename(second.path)
    raw = bytearray(first.path.read_bytes())
    raw[len(raw) // 2] ^= 1
    first.path.write_bytes(bytes(raw))
    with pytest.raises(ironsecrets.IntegrityError, match="decompressed"):
        vault.check_segments(tmp_path).unwrap()
    first.path.write_bytes(second.path.read_bytes())
    different = vault.check_segments(tmp_path).failure()
    assert different.seq == 0


def test_another_process_finds_archived_what_it_has_not_seen(tmp_path: Path) -> None:
    store = MemoryStore()
    vault, _ = lived(store, 10)
    lagging = open_on(store, credential(), world=world(5))
    engine = lagging._engine
    for number in range(10):
        vault.operator("o").put("later", str(number), environment=ENVIRONMENT)
    vault.archive("olga", before=moment(vault.state.last_at + 1), folder=tmp_path)
    assert engine.state.log.size == 10
    assert lagging.operator("o").put("later", "y", environment=ENVIRONMENT) == 11
    assert isinstance(lagging.verify(), Success)
    assert lagging.state == vault.state


def test_a_sink_that_is_behind_holds_an_archive_up(tmp_path: Path) -> None:
    path = tmp_path / "v"
    ironsecrets.create_vault(path, master_key=bytes(32)).close()
    sink = JsonLinesSink(tmp_path / "no" / "file")
    with ironsecrets.open_vault(path, master_key=bytes(32), sinks=[sink]) as vault:
        with pytest.raises(ironsecrets.VaultError, match="is behind"):
            vault.archive("o", before=moment(vault.now() + 1), folder=tmp_path / "a")
        (tmp_path / "no").mkdir()
        vault.operator("o").put("a", "x", environment=ENVIRONMENT)
        vault.archive("o", before=moment(vault.now() + 1), folder=tmp_path / "a")
        vault.operator("o").put("a", "x", environment=ENVIRONMENT)
    assert (tmp_path / "no" / "file").read_bytes().count(b"\n") == 4


@pytest.mark.parametrize(
    "statement",
    [
        "delete from archives",
        "update archives set leaves = zeroblob(length(leaves))",
        "update archives set stop = stop + 1",
        "delete from base",
        "delete from entries where seq = (select min(seq) from entries)",
    ],
)
def test_tampering_with_an_archive_is_found(tmp_path: Path, statement: str) -> None:
    import apsw

    store = stores.sqlite()
    vault, _ = lived(store, 20)
    archived(vault, 10, tmp_path)
    vault.close()
    assert isinstance(store, SqliteStore)
    connection = apsw.Connection(str(store.path))
    connection.execute(statement)
    connection.close()
    with pytest.raises((ironsecrets.IntegrityError, UnwrapFailedError)):
        open_on(SqliteStore(store.path), credential()).verify().unwrap()


def test_a_witness_and_a_report_span_an_archive(tmp_path: Path) -> None:
    vault, clock = lived(MemoryStore(), 20)
    witness = FileWitness(tmp_path / "w")
    vault.shown_to(witness)
    archived(vault, 10, tmp_path / "a")
    clock.time += SECOND
    with vault.acting_for("agent_one").lease("k/3", environment=ENVIRONMENT):
        pass
    vault.shown_to(witness)
    told = {(one.name, len(one.leases)) for one in vault.account().reaches}
    assert told == {("k/2", 0), ("k/3", 1), ("k/4", 0), ("k/0", 0), ("k/1", 0)}
    assert vault.account().untold == 11


def test_a_report_takes_archived_entries_from_their_segments(tmp_path: Path) -> None:
    vault, _ = lived(MemoryStore(), 30)
    whole = vault.account()
    archived(vault, 10, tmp_path / "a")
    archived(vault, 20, tmp_path / "a")
    again = vault.account(tmp_path / "a")
    assert (again.reaches, again.attempts, again.untold) == (whole.reaches, whole.attempts, 0)
    first, second = sorted((tmp_path / "a").glob("*.zst"))
    second.write_bytes(first.read_bytes())
    with pytest.raises(ironsecrets.IntegrityError, match="differs from the log at entry 11"):
        vault.account(tmp_path / "a")
    second.unlink()
    with pytest.raises(ironsecrets.VaultNotFound, match="entries 11 to 20"):
        vault.account(tmp_path / "a")


def test_archiving_on_the_command_line(made: Command) -> None:
    made.ok("put", "a", stdin="x")
    made.ok("put", "a", stdin="y")
    assert "say --before" in made.run("audit", "archive", "old").error
    assert "no entry is that old" in made.fails(3, "audit", "archive", "old", "--older-than", "30d")
    line = made.ok("audit", "archive", "old", "--before", "2999-01-01T00:00Z").text
    assert "archived entries 0 to 2 to old/segment-000000000000-000000000003.jsonl.zst" in line
    assert made.folder.joinpath("old").stat().st_mode & 0o777 == 0o700
    assert "the first 3 are archived" in made.ok("audit", "verify").text
    made.ok("put", "a", stdin="z")
    assert "of 3 archived ones 3 replayed" in made.ok("audit", "verify", "--segments", "old").text
    data = json.loads(made.ok("audit", "verify", "--segments", "old", "--json").text)
    assert data["segments"] == {"replayed": 3, "hashed": 0, "missing": []}
    assert "archived" in made.fails(1, "audit", "export", "out")
    made.ok("audit", "archive", "old", "--before", "2999-01-01T00:00Z")
    key = (made.folder / "old" / "verifier.key").read_text().strip()
    offline = made.run("audit", "verify", "old", "--key", key, env={"IRON_SECRETS_MASTER_KEY": ""})
    assert "verified: 5 entries replayed from segments" in offline.text
    first = next(made.folder.joinpath("old").glob("segment-000000000000*.zst"))
    first.rename(made.folder / "kept")
    said = made.ok("audit", "verify", "--segments", "old").text
    assert "entries 0 to 2 are in no file" in said
    assert "cannot be shown any more" in said
    assert "expected the next entry" in made.fails(5, "audit", "verify", "old", "--key", "old/verifier.key")
    made.ok("--vault", "other", "init")
    made.ok("--vault", "other", "audit", "export", "foreign")
    (made.folder / "kept").rename(first)
    assert "integrity failure" in made.fails(5, "audit", "verify", "old", "--key", "foreign/verifier.key")
