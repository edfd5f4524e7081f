"""What an auditor does: proofs, a witness, filters, the report of who could reach what."""

import csv
import io
import json
import re
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from returns.result import Failure, Success

import ironsecrets
from interpreters.doors import create_on
from interpreters.memory_store import MemoryStore
from interpreters.witness import FileWitness
from ironsecrets.checkpoint import parse_verifier_key
from ironsecrets.proof_files import Continued, Included, check_proof
from properties.worlds import EPOCH, MASTER_KEY, SECOND, SetClock, credential, world
from tests.conftest import COMMAND, Command, Opener

ENVIRONMENT = "development"


def test_proofs_are_checked_without_the_vault(path: Path, opened: Opener) -> None:
    vault = opened()
    for number in range(20):
        vault.operator("o").put(f"k/{number}", "x", environment=ENVIRONMENT)
    key = parse_verifier_key(vault.verifier_key()).unwrap()
    for seq in range(21):
        shown = check_proof(vault.prove(seq), key).unwrap()
        assert isinstance(shown, Included)
        assert (shown.entry.seq, shown.checkpoint.size) == (seq, 21)
        continued = check_proof(vault.consistency(max(seq, 1)), key).unwrap()
        assert isinstance(continued, Continued)
        assert (continued.older.size, continued.newer.size) == (max(seq, 1), 21)
    for out_of_range in (lambda: vault.prove(21), lambda: vault.consistency(5, 22), lambda: vault.consistency(0)):
        with pytest.raises(ironsecrets.Refused) as caught:
            out_of_range()
        assert caught.value.refusal.code == "out-of-range"


@pytest.mark.parametrize("kind", ["inclusion", "consistency"])
def test_every_changed_byte_of_a_proof_is_found(path: Path, opened: Opener, kind: str) -> None:
    vault = opened()
    for number in range(6):
        vault.operator("o").put(f"k/{number}", "x", environment=ENVIRONMENT)
    text = vault.prove(3) if kind == "inclusion" else vault.consistency(3, 6)
    key = parse_verifier_key(vault.verifier_key()).unwrap()
    # Signature lines by others are passed over, and the dash and the name before ours are theirs to change.
    for at, char in enumerate(text):
        changed = text[:at] + ("A" if char != "A" else "B") + text[at + 1 :]
        assert isinstance(check_proof(changed, key), Failure), (at, char)
    assert isinstance(check_proof(text + "\n", key), Failure)
    assert isinstance(check_proof(text, key), Success)


def test_a_witness_remembers_and_is_not_moved_back(path: Path, opened: Opener, tmp_path: Path) -> None:
    file = tmp_path / "witness"
    witness = FileWitness(file)
    vault = opened()
    assert witness.last() is None
    vault.shown_to(witness)
    vault.operator("o").put("a", "x", environment=ENVIRONMENT)
    vault.shown_to(witness)
    vault.shown_to(witness)
    remembered = witness.last()
    assert remembered is not None
    assert remembered[1].size == 2
    assert file.stat().st_mode & 0o777 == 0o600
    vault.close()
    ironsecrets.open_vault(path, master_key=MASTER_KEY, witness=witness).close()
    other = create_on(MemoryStore(), credential(), world=world())
    with pytest.raises(ironsecrets.IntegrityError, match="another vault"):
        other.shown_to(witness)
    before = file.read_bytes()
    file.write_bytes(before.replace(b"\n2\n", b"\n1\n"))
    with pytest.raises(ironsecrets.IntegrityError, match="was changed"):
        ironsecrets.open_vault(path, master_key=MASTER_KEY, witness=witness)
    file.write_bytes(before)
    # A proof that proves nothing moves nobody.
    key, note = remembered[0].text(), remembered[2]
    witness.saw(key, note, lambda older, newer: ())
    with ironsecrets.open_vault(path, master_key=MASTER_KEY) as again:
        again.operator("o").put("a", "y", environment=ENVIRONMENT)
        with pytest.raises(ironsecrets.IntegrityError, match="forked"):
            witness.saw(key, again.checkpoint(), lambda older, newer: (bytes(32),))
    assert file.read_bytes() == before


def test_the_witness_on_the_command_line(made: Command) -> None:
    file = made.folder / "test.vault"
    made.ok("put", "a", stdin="x")
    older = file.read_bytes()
    made.env["IRONSECRETS_WITNESS"] = str(made.folder / "w")
    made.ok("put", "b", stdin="x")
    assert "seen: 3 entries, 3 entries at the last look" in made.ok("audit", "witness", "w").text
    file.write_bytes(older)
    assert "put back to an older copy" in made.fails(5, "list")
    del made.env["IRONSECRETS_WITNESS"]
    for name in ("c", "d", "e"):
        made.ok("put", name, stdin="x")
    assert "forked" in made.fails(5, "audit", "witness", "w")


@pytest.fixture
def used(made: Command) -> Command:
    """A vault that two agents have used, and one of them lost its grant."""
    made.ok("put", "openai/key", stdin="x")
    made.ok("put", "db/password", stdin="x")
    made.ok("grant", "agent_a", "openai/*")
    grant = made.ok("grant", "agent_b", "**", "--uses", "1").text.strip()
    for _ in range(2):
        made.ok("run", "--agent", "agent_a", "--set", "K=openai/key", "--", "true")
    made.run("run", "--agent", "agent_a", "--set", "K=db/password", "--", "true")
    made.ok("run", "--agent", "agent_b", "--set", "K=db/password", "--", "true")
    made.ok("revoke", grant)
    return made


def lines(made: Command, *filters: str) -> list[str]:
    rows = made.ok("audit", "log", "--json", *filters).text.splitlines()
    return [json.loads(row)["command"]["type"] for row in rows]


def test_the_log_is_filtered(used: Command) -> None:
    assert lines(used, "--agent", "agent_b") == ["grant", "lease", "release"]
    assert lines(used, "--verdict", "refused") == ["lease"]
    assert lines(used, "--verdict", "no-grant", "--agent", "agent_a") == ["lease"]
    assert lines(used, "--secret", "openai/key") == ["put", "grant", "grant", "lease", "lease"]
    assert lines(used, "--command", "lease", "--verdict", "applied", "--last", "2") == ["lease", "lease"]
    assert lines(used, "--env", "production") == []
    assert lines(used, "--since", "2999-01-01T00:00Z") == []
    assert len(lines(used, "--since", "1h")) == 13
    assert lines(used, "--until", "1h") == []
    assert len(lines(used, "--until", "2999-01-01T00:00Z")) == 13
    assert "moment" in used.run("audit", "log", "--since", "yesterday").error


def test_the_log_is_followed(used: Command) -> None:
    follower = subprocess.Popen(
        [str(COMMAND), "audit", "log", "--follow", "--json", "--command", "put", "--last", "1"],
        cwd=used.folder,
        env=used.env,
        stdout=subprocess.PIPE,
        text=True,
    )
    with follower:
        assert follower.stdout is not None
        assert json.loads(follower.stdout.readline())["command"]["name"] == "db/password"
        used.ok("put", "later", stdin="x")
        assert json.loads(follower.stdout.readline())["command"]["name"] == "later"
        follower.terminate()


def test_the_report(used: Command) -> None:
    rows = list(csv.DictReader(io.StringIO(used.ok("audit", "report", "--csv").text)))
    told = [(row["Agent"], row["Secret"], row["Leases"], row["Ended by"]) for row in rows]
    assert told == [
        ("agent_a", "openai/key", "2", ""),
        ("agent_b", "db/password", "1", "revoke"),
        ("agent_b", "openai/key", "0", "revoke"),
        ("agent_a", "db/password", "0", "never"),
    ]
    assert rows[-1]["Refused"] == "1"
    data = json.loads(used.ok("audit", "report", "--json", "--agent", "agent_a").text)
    assert [(one["agent"], one["name"], one["verdict"]) for one in data["refused"]] == [
        ("agent_a", "db/password", "no-grant")
    ]
    assert used.ok("audit", "report", "--secret", "db/password", "--csv").text.count("\n") == 3
    assert "agent_a" in used.ok("audit", "report").text
    used.ok("audit", "report", "--html", "report.html")
    page = (used.folder / "report.html").read_text()
    assert page.count("<rect class=") >= 4
    assert 'class="refused"' in page
    assert not re.search(r"(src|href)=|<script", page), "nothing is loaded from anywhere"
    assert used.folder.joinpath("report.html").stat().st_mode & 0o777 == 0o600


def test_a_reach_begins_and_ends_with_what_it_needs() -> None:
    where = world()
    clock = where.clock
    assert isinstance(clock, SetClock)
    vault = create_on(MemoryStore(), credential(), world=where)
    operator = vault.operator("o")

    def at(second: int) -> None:
        clock.time = EPOCH + second * SECOND

    at(10)
    operator.grant("agent_one", "a", environment=ENVIRONMENT, expires_in=timedelta(seconds=100))
    at(20)
    operator.put("a", "x", environment=ENVIRONMENT)
    at(30)
    operator.delete("a", environment=ENVIRONMENT)
    at(40)
    operator.undelete("a", environment=ENVIRONMENT)
    at(50)
    vault.acting_for("agent_one").lease("a", environment=ENVIRONMENT)
    at(200)
    operator.put("b", "x", environment=ENVIRONMENT)
    told = [
        ((one.since - EPOCH) // SECOND, one.until and (one.until - EPOCH) // SECOND, one.ended, len(one.leases))
        for one in vault.account().reaches
    ]
    assert told == [(20, 30, "delete", 0), (40, 110, "expired", 1)]
