"""Backups, restores, compaction, and the doctor."""

import base64
import json
import os
import shutil
import threading
from pathlib import Path

import pytest
from returns.result import Success

import ironsecrets
from properties.worlds import MASTER_KEY
from tests.conftest import Command, Opener

ENVIRONMENT = "development"


def test_a_backup_is_taken_while_others_write(path: Path, opened: Opener, tmp_path: Path) -> None:
    vault, other = opened(), opened()
    stop, written = threading.Event(), []

    def write() -> None:
        while not stop.is_set():
            written.append(other.operator("w").put("busy", os.urandom(500), environment=ENVIRONMENT))
            if len(written) % 20 == 10:
                other.operator("w").rotate_key()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = [vault.backup(tmp_path / f"backup{number}") for number in range(5)]
    finally:
        stop.set()
        writer.join()
    for one in made:
        assert one.path.stat().st_mode & 0o777 == 0o600
        assert one.size == one.path.stat().st_size
        assert not list(tmp_path.glob(f"{one.path.name}-*")), "one file, and nothing beside it"
        with ironsecrets.open_vault(one.path, master_key=MASTER_KEY) as again:
            assert again.state.log.size == one.verification.entries
            assert again.verify().unwrap().root == one.verification.root
    assert not list(tmp_path.glob(".*.new*"))
    assert isinstance(vault.verify(), Success)


def test_a_backup_never_replaces_and_leaves_nothing_half_made(
    path: Path, opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = opened()
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(ironsecrets.VaultExists):
        vault.backup(tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"
    with pytest.raises(ironsecrets.StoreUnavailable, match="does not exist"):
        vault.backup(tmp_path / "no" / "backup")
    # A record that was changed is found before the backup has a name.
    vault.operator("o").put("a", "x", environment=ENVIRONMENT)
    vault._engine.store._connected().execute("update records set body = zeroblob(40)")
    with pytest.raises(ironsecrets.IntegrityError, match="does not verify"):
        vault.backup(tmp_path / "bad")
    assert not list(tmp_path.glob("*bad*"))


def test_backup_and_restore_on_the_command_line(made: Command) -> None:
    made.ok("put", "a", stdin="x")
    assert "2 entries, 1 records, verified" in made.ok("backup", "copy").text
    assert "exists already" in made.fails(1, "backup", "copy")
    made.ok("put", "a", stdin="later")
    assert "exists already" in made.fails(1, "restore", "copy")
    assert "restored to new.vault: 2 entries" in made.ok("--vault", "new.vault", "restore", "copy").text
    assert made.ok("--vault", "new.vault", "get", "a", "--reveal").text == "x"
    log = [json.loads(line) for line in made.ok("--vault", "new.vault", "audit", "log", "--json").text.splitlines()]
    assert log[2]["command"]["type"] == "restore"
    assert log[2]["command"]["entries"] == 2
    assert "verified" in made.ok("--vault", "new.vault", "audit", "verify").text
    assert "no vault" in made.fails(6, "--vault", "other", "restore", "nowhere")
    (made.folder / "junk").write_bytes(b"junk" * 2000)
    made.fails(5, "--vault", "other", "restore", "junk")
    wrong = base64.b64encode(bytes(32)).decode()
    made.fails(4, "--vault", "other", "restore", "copy", env={"IRON_SECRETS_MASTER_KEY": wrong})
    assert not (made.folder / "other").exists()
    assert not list(made.folder.glob(".*.new*"))


def test_a_restore_does_not_go_behind_a_witness(made: Command) -> None:
    made.ok("put", "a", stdin="x")
    made.ok("backup", "copy")
    made.ok("put", "a", stdin="y")
    made.ok("audit", "witness", "w")
    (made.folder / "seen.txt").write_text(made.ok("audit", "checkpoint").text)
    made.env["IRONSECRETS_WITNESS"] = "w"
    assert "put back to an older copy" in made.fails(5, "--vault", "new", "restore", "copy")
    made.ok("backup", "newer")
    made.ok("--vault", "new", "restore", "newer")
    del made.env["IRONSECRETS_WITNESS"]
    assert "older copy" in made.fails(5, "--vault", "newest", "restore", "copy", "--checkpoint", "seen.txt")


def test_a_restore_of_a_vault_in_use_takes_its_write_ahead_log_along(made: Command, opened: Opener) -> None:
    file = made.folder / "test.vault"
    with ironsecrets.open_vault(file, master_key=MASTER_KEY) as vault:
        vault.operator("o").put("a", "in the log", environment=ENVIRONMENT)
        assert Path(f"{file}-wal").stat().st_size > 0
        made.ok("--vault", "copy", "restore", "test.vault")
    assert made.ok("--vault", "copy", "get", "a", "--reveal").text == "in the log"


def test_compaction_gives_space_back(path: Path, opened: Opener) -> None:
    vault = opened()
    operator = vault.operator("o")
    for number in range(60):
        operator.put(f"k/{number}", os.urandom(20_000), environment=ENVIRONMENT)
    for number in range(60):
        operator.erase(f"k/{number}", environment=ENVIRONMENT)
    done = vault.compact()
    assert done.after < done.before / 4
    assert done.final
    assert path.stat().st_size == done.after
    assert isinstance(vault.verify(), Success)
    assert operator.put("after", "x", environment=ENVIRONMENT) == 1


def verdicts(made: Command, status: int = 0) -> dict[str, str]:
    done = made.run("doctor", "--json")
    assert done.status == status, done.error
    return {one["check"]: one["verdict"] for one in json.loads(done.text)}


def test_the_doctor_finds_nothing_wrong(made: Command) -> None:
    made.ok("put", "a", stdin="x")
    assert set(verdicts(made).values()) == {"ok"}
    assert "entries replayed" in made.ok("doctor").text


def test_the_doctor_finds_what_is_wrong(made: Command) -> None:
    made.ok("put", "a", stdin="x")
    file = made.folder / "test.vault"
    file.chmod(0o644)
    (made.folder / "test.vault-ballast").unlink()
    made.env["IRONSECRETS_AUDIT_FILE"] = str(made.folder / "no" / "such")
    found = verdicts(made)
    assert {check for check, verdict in found.items() if verdict == "warning"} >= {"permissions", "sink JsonLinesSink"}
    del made.env["IRONSECRETS_AUDIT_FILE"]
    made.ok("seal")
    made.ok("grant", "agent_one", "a", "--break-glass", "--reason", "fire", "--expires", "30m")
    found = verdicts(made)
    assert (found["seal"], found["grants"]) == ("warning", "warning")
    intact = file.read_bytes()
    import apsw

    connection = apsw.Connection(str(file))
    connection.execute("update records set body = zeroblob(50)")
    connection.close()
    assert verdicts(made, 5)["log and records"] == "broken"
    file.write_bytes(intact[:4096] + bytes(4096) + intact[8192:])
    assert "broken" in verdicts(made, 5).values()
    file.write_bytes(b"")
    assert "empty file" in made.fails(5, "doctor")
    file.unlink()
    made.fails(6, "doctor")
    shutil.rmtree(made.folder / "no", ignore_errors=True)
