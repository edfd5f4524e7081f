"""Somebody edits the file with a plain sqlite3: each edit is refused, and named."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.conftest import Command


def edit(file: Path, *statements: str) -> None:
    database = sqlite3.connect(file)
    for statement in statements:
        database.execute(statement)
    database.commit()
    database.close()


@pytest.fixture
def full(made: Command) -> Command:
    """A vault with a snapshot, some secrets and a grant."""
    for name in ("a/one", "a/two"):
        made.ok("put", name, stdin=f"value of {name}")
    made.ok("put", "a/one", stdin="second")
    made.ok("grant", "agent_one", "a/*")
    import ironsecrets
    from properties.worlds import MASTER_KEY

    with ironsecrets.open_vault(made.folder / "test.vault", master_key=MASTER_KEY) as vault:
        vault.snapshot()
    made.ok("put", "a/two", stdin="second")
    assert "verified" in made.ok("audit", "verify").text
    return made


FLIP = "substr({c},1,{n}) || x'00ff00' || substr({c},{n}+4)"


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        (f"update entries set sealed = cast({FLIP.format(c='sealed', n=60)} as blob) where seq = 2", "entry 2"),
        (f"update entries set sealed = cast({FLIP.format(c='sealed', n=60)} as blob) where seq = 5", "entry 5"),
        ("update entries set sealed = x'00' where seq = 3", "entry 3"),
        ("delete from entries where seq = (select max(seq) from entries)", "entry"),
        ("delete from entries where seq = 2", "entry 2"),
        ("update entries set request = zeroblob(16) where seq = 2", "entry 2: request"),
        ("insert into entries select max(seq) + 1, x'01', sealed from entries", "entry beyond"),
        (f"update head set body = cast({FLIP.format(c='body', n=40)} as blob)", "log head"),
        ("delete from head", "head of the log is missing"),
        (f"update snapshot set sealed = cast({FLIP.format(c='sealed', n=80)} as blob)", "snapshot"),
        ("update snapshot set sealed = (select sealed from entries where seq = 0)", "snapshot"),
        (f"update records set body = cast({FLIP.format(c='body', n=3)} as blob) where rowid = 1", "sealed record"),
        (f"update records set wrap = cast({FLIP.format(c='wrap', n=60)} as blob) where rowid = 1", "sealed record"),
        ("update records set epoch = 2 where rowid = 1", "sealed record"),
        ("delete from records where rowid = 1", "nothing in its place"),
        ("insert into records select secret, 77, epoch, wrap, body from records where rowid = 1", "version 77"),
        ("update header set mac = zeroblob(32)", "header was changed"),
        (
            "update header set body = cast(replace(body, '\"root_generation\":1', '\"root_generation\":2') as blob)",
            "header",
        ),
    ],
)
def test_edits_are_found(full: Command, statement: str, named: str) -> None:
    edit(full.folder / "test.vault", statement)
    line = full.fails(5, "audit", "verify")
    assert named in line
    assert "integrity failure" in line


def test_swapped_records_are_found(full: Command) -> None:
    edit(
        full.folder / "test.vault",
        "create table t as select rowid as r, wrap, body from records where rowid in (1, 2)",
        "update records set wrap = (select wrap from t where r = 3 - records.rowid),"
        " body = (select body from t where r = 3 - records.rowid) where rowid in (1, 2)",
        "drop table t",
    )
    assert "sealed record" in full.fails(5, "audit", "verify")
    assert "integrity failure" in full.fails(5, "get", "a/one", "--version", "1", "--reveal")


def test_swapped_entries_are_found(full: Command) -> None:
    edit(
        full.folder / "test.vault",
        "update entries set seq = 1001 where seq = 1",
        "update entries set seq = 1 where seq = 2",
        "update entries set seq = 2 where seq = 1001",
    )
    assert "entry 1" in full.fails(5, "audit", "verify")


@pytest.mark.parametrize("table", ["head", "snapshot", "entries", "records", "header"])
def test_whole_rows_put_back_from_an_older_copy_are_found(full: Command, table: str) -> None:
    file, older = full.folder / "test.vault", full.folder / "older.vault"
    shutil.copy(file, older)
    import ironsecrets
    from properties.worlds import MASTER_KEY

    full.ok("put", "a/one", stdin="third")
    full.ok("destroy", "a/one", "--version", "1")
    with ironsecrets.open_vault(file, master_key=MASTER_KEY) as vault:
        vault.snapshot()
    # A vault of its own with the same key: its rows are as well formed as ours.
    full.ok("--vault", "other.vault", "init")
    source = "other.vault" if table in ("header", "snapshot") else "older.vault"
    edit(
        file,
        f"attach '{full.folder / source}' as old",
        f"delete from main.{table}",
        f"insert into main.{table} select * from old.{table}",
    )
    if table == "snapshot":
        # The other vault never took one: an empty table is a vault without a snapshot, and a sound one.
        assert "verified" in full.ok("audit", "verify").text
    else:
        assert "integrity failure" in full.fails(5, "audit", "verify")


def test_an_older_snapshot_is_no_harm(full: Command) -> None:
    """A snapshot is good for any size of the log beyond its own; the tail replays what came after."""
    file, older = full.folder / "test.vault", full.folder / "older.vault"
    shutil.copy(file, older)
    full.ok("revoke", "--all")
    edit(
        file,
        f"attach '{older}' as old",
        "delete from main.snapshot",
        "insert into main.snapshot select * from old.snapshot",
    )
    assert "verified" in full.ok("audit", "verify").text
    assert full.ok("grants", "--json").text.strip() == "[]"


def test_the_whole_file_put_back_is_found_with_a_remembered_checkpoint(full: Command) -> None:
    file, older = full.folder / "test.vault", full.folder / "older.vault"
    shutil.copy(file, older)
    full.ok("revoke", "--all")
    (full.folder / "seen.txt").write_text(full.ok("audit", "checkpoint").text)
    assert "verified" in full.ok("audit", "verify", "--checkpoint", "seen.txt").text
    shutil.copy(older, file)
    assert "verified" in full.ok("audit", "verify").text, "nothing in the file itself could tell"
    assert "put back to an older copy" in full.fails(5, "audit", "verify", "--checkpoint", "seen.txt")
    full.ok("put", "b", stdin="x")
    full.ok("put", "c", stdin="x")
    assert "not the one" in full.fails(5, "audit", "verify", "--checkpoint", "seen.txt")
    full.ok("--vault", "other.vault", "init")
    (full.folder / "other.txt").write_text(full.ok("--vault", "other.vault", "audit", "checkpoint").text)
    assert "does not fit" in full.fails(5, "audit", "verify", "--checkpoint", "other.txt")


@pytest.mark.parametrize(
    "planted",
    [
        "create trigger t after insert on entries begin delete from entries where seq = new.seq; end",
        "create trigger t after insert on records begin update records set epoch = 9; end",
        "create view v as select * from records",
        "create index i on records (epoch)",
        "create table extra (a)",
        "alter table records add column extra TEXT",
    ],
)
def test_anything_planted_in_the_schema_is_refused(full: Command, planted: str) -> None:
    edit(full.folder / "test.vault", planted)
    assert "schema was changed" in full.fails(5, "list")


def test_every_byte_of_an_entry_matters(full: Command) -> None:
    """Not only the bytes that the list above happened to choose."""
    file = full.folder / "test.vault"
    database = sqlite3.connect(file)
    (sealed,) = database.execute("select sealed from entries where seq = 4").fetchone()
    import ironsecrets
    from properties.worlds import MASTER_KEY

    found = 0
    for at in range(0, len(sealed), 7):
        changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        database.execute("update entries set sealed = ? where seq = 4", (changed,))
        database.commit()
        try:
            with ironsecrets.open_vault(file, master_key=MASTER_KEY) as vault:
                found += vault.verify().failure().seq == 4
        except ironsecrets.IntegrityError as error:
            found += "entry 4" in str(error)
    database.close()
    assert found == len(range(0, len(sealed), 7))


@pytest.mark.parametrize(
    "damage", ["flip", "drop-last", "drop-first", "swap", "append", "truncate", "newline", "empty"]
)
def test_a_damaged_export_is_found(full: Command, damage: str) -> None:
    full.ok("audit", "export", "out")
    log = full.folder / "out" / "log.jsonl"
    offline = ("audit", "verify", "out/log.jsonl", "--key", "out/verifier.key", "--checkpoint", "out/checkpoint.txt")
    del full.env["IRON_SECRETS_MASTER_KEY"]
    del full.env["IRONSECRETS_VAULT"]
    assert "verified" in full.ok(*offline).text
    lines = log.read_bytes().splitlines(keepends=True)
    damaged = {
        "flip": [*lines[:2], lines[2].replace(b'"at":1', b'"at":2', 1), *lines[3:]],
        "drop-last": lines[:-1],
        "drop-first": lines[1:],
        "swap": [lines[0], lines[2], lines[1], *lines[3:]],
        "append": [*lines, lines[-1]],
        "truncate": [*lines[:-1], lines[-1][:-20]],
        "newline": [*lines[:-1], lines[-1].rstrip(b"\n")],
        "empty": [],
    }[damage]
    log.write_bytes(b"".join(damaged))
    assert "integrity failure" in full.fails(5, *offline)


def test_a_damaged_checkpoint_or_key_is_found(full: Command) -> None:
    full.ok("audit", "export", "out")
    out = full.folder / "out"
    offline = ("audit", "verify", "out/log.jsonl", "--key", "out/verifier.key", "--checkpoint", "out/checkpoint.txt")
    note = (out / "checkpoint.txt").read_text()
    (out / "checkpoint.txt").write_text(note.replace("\n6\n", "\n7\n"))
    assert "integrity failure" in full.fails(5, *offline)
    (out / "checkpoint.txt").write_text("nonsense")
    assert "well-formed checkpoint" in full.fails(5, *offline)
    (out / "checkpoint.txt").write_text(note)
    assert "there is no file" in full.fails(6, "audit", "verify", "none", *offline[3:])
    (out / "verifier.key").write_text("nonsense")
    assert "verifier key" in full.fails(5, *offline)
