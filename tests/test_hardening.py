"""What is known to go wrong with SQLite, APSW, buffers, AES-GCM and other people's vaults, line by line."""

import hmac
import json
import os
import resource
import secrets
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import apsw
import attrs
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from returns.result import Failure, Success

import ironsecrets
from interpreters import sqlite_schema
from interpreters.derivation import argon2id, passphrase_credential, slot_key
from interpreters.sqlite_store import SqliteStore
from ironsecrets import sealing
from ironsecrets.agents import Agents, authenticate
from ironsecrets.checkpoint import _LOW_ORDER, VerifierKey, parse_verifier_key  # pyright: ignore[reportPrivateUsage]
from ironsecrets.encoding import canonical, length_prefixed
from ironsecrets.header import Argon2Cost, decode_header, encode_header
from ironsecrets.keyring import WrongKey, unlock_slot
from ironsecrets.refusals import Tampered
from ironsecrets.sensitive import Sensitive
from properties.worlds import MASTER_KEY
from tests.conftest import Opener
from tests.memory import memory_holds


def test_a_bad_tag_leaves_no_unverified_plaintext(monkeypatch: pytest.MonkeyPatch) -> None:
    key, nonce, plain = bytes(32), bytes(12), b"unverified plaintext"
    sealed = bytearray(AESGCM(key).encrypt(nonce, plain, b""))
    sealed[-1] ^= 1
    loose = bytearray(len(plain))
    with pytest.raises(InvalidTag):
        AESGCM(key).decrypt_into(nonce, bytes(sealed), b"", loose)
    assert loose == plain, "the library leaves it there, which is why we wipe"
    wiped: list[bytearray] = []
    real = sealing.wipe

    def watched(buffer: bytearray) -> None:
        wiped.append(buffer)
        real(buffer)

    monkeypatch.setattr(sealing, "wipe", watched)
    assert sealing.gcm_open(key, nonce, bytes(sealed), b"") is None
    assert [bytes(buffer) for buffer in wiped] == [bytes(len(plain))]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux's /proc/self/mem")
def test_argon2_leaves_no_passphrase_in_memory() -> None:
    passphrase = bytearray(secrets.token_bytes(24))
    held = Sensitive(passphrase)
    cost = Argon2Cost(salt="AAAAAAAAAAAAAAAAAAAAAA==", memory=19 * 1024, passes=1)
    before = argon2id(held, bytes(16), cost)
    assert memory_holds(passphrase) >= 2, "the scan finds what is there"
    held.wipe()
    assert memory_holds(passphrase) == 1, "only the test's own copy is left"
    from argon2.low_level import Type, hash_secret_raw

    assert hash_secret_raw(bytes(passphrase), bytes(16), 1, 19 * 1024, 4, 32, Type.ID) == before


def test_keys_and_slots_do_not_show_themselves(path: Path, opened: Opener) -> None:
    vault = opened()
    engine = vault._engine
    shown = repr(engine) + repr(engine.keys) + repr(passphrase_credential("a passphrase"))
    assert "a passphrase" not in shown
    for label in ("log-mac", "entries"):
        assert bytes(engine.keys[label]).hex() not in shown
        assert repr(bytes(engine.keys[label])) not in shown
    held = engine.keys["entries"]
    vault.close()
    assert held == bytes(32), "closing wipes"


def test_hostile_costs_are_refused_at_once_and_without_the_memory(path: Path, opened: Opener) -> None:
    ironsecrets.create_vault(path, passphrase="correct").close()
    database = sqlite3.connect(path)
    (raw,) = database.execute("select body from header").fetchone()
    header = json.loads(raw)
    for field, value in (
        ("memory", 64 * 1024 * 1024),
        ("memory", 2**62),
        ("memory", 8),
        ("memory", 1024 * 1024 + 1),
        ("passes", 2**31),
        ("passes", 33),
        ("passes", 0),
        ("lanes", 17),
        ("lanes", 2**40),
        ("version", 0x10),
        ("salt", "AAAA"),
        ("salt", "A" * 20_000_000),
        ("algorithm", "argon2i"),
    ):
        cost = {**header["slots"][0]["cost"], field: value}
        hostile = {**header, "slots": [{**header["slots"][0], "cost": cost}]}
        database.execute("update header set body = ?", (canonical(hostile),))
        database.commit()
        began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(ironsecrets.IntegrityError, match="header"):
            ironsecrets.open_vault(path, passphrase="correct")
        assert time.perf_counter() - began < 1
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 128 * 1024
    database.close()


def test_hostile_headers_are_bounded() -> None:
    assert isinstance(decode_header(b"{" + b" " * 70_000), Failure)
    assert isinstance(decode_header(b'{"format":1' + b"," * 60_000), Failure)
    assert isinstance(decode_header(b'{"a":' * 12_000), Failure)
    newer = decode_header(b'{"format":2,"what":"ever"}')
    assert type(newer.failure()).__name__ == "NewerHeader"


def test_a_wrong_passphrase_and_a_tampered_slot_are_told_apart(path: Path) -> None:
    ironsecrets.create_vault(path, passphrase="correct").close()
    database = sqlite3.connect(path)
    (raw,) = database.execute("select body from header").fetchone()
    header = decode_header(raw).unwrap()
    slot = header.slots[0]
    with slot_key(passphrase_credential("wrong"), slot.cost) as key:
        assert unlock_slot(slot, header.vault, key.view()) == Failure(WrongKey())
    changed = attrs.evolve(slot, wrapped=("A" if slot.wrapped[0] != "A" else "B") + slot.wrapped[1:])
    with slot_key(passphrase_credential("correct"), slot.cost) as key:
        assert isinstance(unlock_slot(slot, header.vault, key.view()), Success)
        assert unlock_slot(changed, header.vault, key.view()) == Failure(Tampered(f"slot {slot.id}"))
    database.execute("update header set body = ?", (encode_header(attrs.evolve(header, slots=(changed,))),))
    database.commit()
    database.close()
    with pytest.raises(ironsecrets.IntegrityError, match="slot"):
        ironsecrets.open_vault(path, passphrase="correct")
    with pytest.raises(ironsecrets.CannotUnlock, match="wrong passphrase"):
        ironsecrets.open_vault(path, passphrase="wrong")


def test_low_order_verifier_keys_are_refused() -> None:
    """Each point on the list is of order 1, 2, 4 or 8, and OpenSSL takes them all."""
    p = 2**255 - 19
    d = -121665 * pow(121666, -1, p) % p

    def double(x: int, y: int) -> tuple[int, int]:
        product = d * x * x * y * y % p
        return 2 * x * y * pow(1 + product, -1, p) % p, (y * y + x * x) * pow(1 - product, -1, p) % p

    for raw in _LOW_ORDER:
        y = int.from_bytes(raw, "little") % p
        square = (y * y - 1) * pow(d * y * y + 1, -1, p) % p
        x = pow(square, (p + 3) // 8, p)
        if x * x % p != square:
            x = x * pow(2, (p - 1) // 4, p) % p
        assert x * x % p == square
        point = (x, y)
        for _ in range(3):
            point = double(*point)
        assert point == (0, 1)
        for sign in (0, 0x80):
            public = raw[:31] + bytes([raw[31] | sign])
            Ed25519PublicKey.from_public_bytes(public)
            assert parse_verifier_key(VerifierKey("n", public).text()).failure().code == "weak-verifier-key"


def test_labels_never_collide() -> None:
    assert b"ab" + b"c" == b"a" + b"bc"
    assert length_prefixed("ab", "c") != length_prefixed("a", "bc")
    assert length_prefixed(1) != length_prefixed("\0\0\0\0\0\0\0") + b"\1"


def test_every_connection_is_hardened(path: Path, opened: Opener) -> None:
    vault = opened()
    connection = vault._engine.store._connected()
    expected = {
        "synchronous": 2,
        "secure_delete": 1,
        "journal_mode": "wal",
        "fullfsync": 1,
        "checkpoint_fullfsync": 1,
        "wal_autocheckpoint": 0,
        "temp_store": 2,
        "cell_size_check": 1,
        "application_id": sqlite_schema.APPLICATION_ID,
        "user_version": len(sqlite_schema.MIGRATIONS),
    }
    for name, value in expected.items():
        assert connection.execute(f"pragma {name}").fetchall() == [(value,)], name
    for option, value in (
        (apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0),
        (apsw.SQLITE_DBCONFIG_ENABLE_VIEW, 0),
        (apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0),
        (apsw.SQLITE_DBCONFIG_DEFENSIVE, 1),
    ):
        assert connection.config(option, -1) == value
    for name, kind in connection.execute("select name, sql from sqlite_schema where type = 'table'"):
        assert kind.rstrip().endswith("STRICT"), name


def test_a_trigger_planted_while_open_does_not_run(path: Path, opened: Opener) -> None:
    vault = opened()
    database = apsw.Connection(str(path))
    database.execute("create trigger t after insert on entries begin delete from records; end")
    database.close()
    vault.operator("o").put("a", "x", environment="development")
    assert vault.operator("o").reveal("a", environment="development").text() == "x", "its record is still there"
    with pytest.raises(ironsecrets.IntegrityError, match="schema"):
        vault.verify()
    with pytest.raises(ironsecrets.IntegrityError, match="schema"):
        ironsecrets.open_vault(path, master_key=MASTER_KEY)


def test_erasing_leaves_no_residue(path: Path, opened: Opener) -> None:
    """Fifty values destroyed: their ciphertexts are nowhere in the file, its WAL or its free pages."""
    vault = opened()
    operator = vault.operator("o")
    bodies: list[bytes] = []
    for number in range(50):
        name = f"n/{number}"
        for _ in range(2):
            operator.put(name, secrets.token_bytes(300 + 40 * number), environment="development")
        secret = vault.state.secrets.find("development", name)  # pyright: ignore[reportArgumentType]
        assert secret is not None
        record = vault._engine.store.record(secret.id, 1)
        bodies.append(record.body)
        bodies.append(record.wrap)
        assert operator.destroy(name, environment="development", version=1)
    files = [file.read_bytes() for file in path.parent.iterdir()]
    assert not [1 for body in bodies for file in files if body[20:60] in file]
    assert isinstance(vault.verify(), Success)


def test_erasing_says_when_a_reader_blocks_it(path: Path, opened: Opener) -> None:
    vault = opened()
    operator = vault.operator("o")
    for value in ("one", "two"):
        operator.put("a", value, environment="development")
    vault._engine.store._busy_timeout = 0.1
    vault._engine.store._connected().set_busy_timeout(50)
    # Not Python's sqlite3: a second copy of SQLite in one process would not see the first one's locks.
    reader = apsw.Connection(str(path))
    reader.execute("begin; select count(*) from entries").fetchall()
    assert not operator.destroy("a", environment="development", version=1)
    reader.execute("rollback")
    reader.close()
    operator.put("a", "three", environment="development")
    assert operator.destroy("a", environment="development", version=2)


def test_a_forked_child_refuses_and_leaves_the_parent_alone(path: Path, opened: Opener) -> None:
    vault = opened()
    operator = vault.operator("o")
    operator.put("a", "before", environment="development")
    program = f"""
import os, sys, ironsecrets
key = bytes.fromhex({MASTER_KEY.hex()!r})
vault = ironsecrets.open_vault({str(path)!r}, master_key=key)
operator = vault.operator("p")
operator.put("b", "x", environment="development")
child = os.fork()
if child == 0:
    said = []
    for use in (lambda: operator.put("b", "y", environment="development"), lambda: vault.verify(), lambda: vault.state):
        try:
            use()
        except ironsecrets.VaultClosed as error:
            said.append("fork" in str(error))
    vault.close()
    with ironsecrets.open_vault({str(path)!r}, master_key=key) as own:
        own.operator("c").put("c", "child", environment="development")
    del vault, operator
    sys.exit(0 if said == [True] * 3 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
operator.put("b", "z", environment="development")
with operator.reveal("c", environment="development") as value:
    assert value.bytes() == b"child"
assert type(vault.verify()).__name__ == "Success"
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    with operator.reveal("b", environment="development") as value:
        assert value.bytes() == b"z"
    assert isinstance(vault.verify(), Success)


def test_apsw_errors_keep_their_cause(path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite may roll back by itself; what is raised is the real cause, not 'no transaction is active'."""
    from interpreters import sqlite_rows

    vault = opened()

    def failing(connection: apsw.Connection, batch: object) -> None:
        connection.execute("rollback")
        raise apsw.IOError("disk I/O error")

    monkeypatch.setattr(sqlite_rows, "_fill", failing)
    with pytest.raises(ironsecrets.StoreUnavailable, match="IOError") as caught:
        vault.operator("o").put("a", "x", environment="development")
    assert isinstance(caught.value.__cause__, apsw.IOError)
    monkeypatch.undo()
    assert vault.operator("o").put("a", "x", environment="development") == 1
    assert isinstance(vault.verify(), Success)


@pytest.mark.parametrize(
    ("raised", "kind", "not_said"),
    [
        (apsw.CorruptError("x"), ironsecrets.IntegrityError, "tamper"),
        (apsw.ReadOnlyError("x"), ironsecrets.StoreUnavailable, "permission denied"),
        (apsw.CantOpenError("x"), ironsecrets.StoreUnavailable, "permission denied"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), ironsecrets.IntegrityError, "\xff"),
        (apsw.BusyError("x"), ironsecrets.VaultBusy, "integrity"),
        (apsw.FullError("x"), ironsecrets.StoreFull, "integrity"),
        (OSError(28, "no space"), ironsecrets.StoreFull, "integrity"),
    ],
)
def test_errors_say_no_more_than_they_know(raised: Exception, kind: type[Exception], not_said: str) -> None:
    from interpreters.sqlite_errors import translated

    with pytest.raises(kind) as caught, translated(Path("v")):
        raise raised
    assert not_said not in str(caught.value)


def test_a_parked_reader_of_ours_holds_no_transaction(path: Path, opened: Opener) -> None:
    """Iterating the log while others write neither blocks them nor keeps the WAL from being reset."""
    vault = opened()
    operator = vault.operator("o")
    for number in range(5):
        operator.put(f"k/{number}", "x", environment="development")
    parked = vault.entries()
    next(parked)
    operator.put("k/0", "y", environment="development")
    assert operator.destroy("k/0", environment="development", version=1), "the WAL could be truncated"
    assert len(list(parked)) == 5


def test_the_wal_does_not_grow_without_end(path: Path, opened: Opener) -> None:
    vault = opened()
    operator = vault.operator("o")
    value = os.urandom(50_000)
    for _ in range(200):
        operator.put("big", value, environment="development")
    assert Path(f"{path}-wal").stat().st_size < 3 * 1000 * 4096 + 2 * 50_000 * 2


def test_unknown_and_wrong_tokens_cost_the_same_work(
    path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = opened()
    token = vault.operator("o").enroll("agent_one").bytes().decode()
    compared: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def counted(one: str, other: str) -> bool:
        compared.append((len(one), len(other)))
        return real(one, other)

    agents = vault.state.agents
    monkeypatch.setattr("ironsecrets.agents.hmac.compare_digest", counted)
    wrong = token[:-1] + ("0" if token[-1] != "0" else "1")
    unknown = "isa_" + "0" * 16 + token[20:]
    for text in (wrong, unknown, "nonsense", "", "ü" * 50, token.upper(), token + "\n"):
        assert authenticate(agents, text).failure().code == "bad-token"
    assert authenticate(Agents(), token).failure().code == "bad-token"
    assert isinstance(authenticate(agents, token), Success)
    assert compared == [(64, 64)] * 9


def test_only_a_digest_of_a_token_is_kept(path: Path, opened: Opener) -> None:
    vault = opened()
    token = vault.operator("o").enroll("agent_one").bytes()
    assert len(token.split(b"_")[2]) * 4 >= 256
    assert token not in b"\n".join(vault.entries())
    assert token.split(b"_")[2] not in b"\n".join(vault.entries())


def test_a_lease_id_is_no_authority(path: Path, opened: Opener) -> None:
    vault = opened()
    operator = vault.operator("o")
    operator.put("a", "x", environment="development")
    for agent in ("agent_one", "agent_two"):
        operator.grant(agent, "a", environment="development")
    lease = vault.acting_for("agent_one").lease("a", environment="development")
    other = ironsecrets.Agent("agent_two")  # pyright: ignore[reportArgumentType]
    for ask in (ironsecrets.Release(lease=lease.id), ironsecrets.Renew(lease=lease.id)):
        assert vault.execute(other, ask).failure().code == "unknown-lease"
    assert vault.use_lease(other, lease.id).failure().code == "unknown-lease"
    assert lease.text() == "x"


def test_an_agent_learns_nothing_of_other_names(path: Path, opened: Opener) -> None:
    vault = opened()
    operator = vault.operator("o")
    operator.put("billing/key", "x", environment="development")
    operator.grant("agent_one", "weather/*", environment="development")
    agent = vault.acting_for("agent_one")
    told: list[str] = []
    for name in ("billing/key", "billing/none"):
        with pytest.raises(ironsecrets.Refused) as caught:
            agent.lease(name, environment="development")
        told.append(str(caught.value).replace(name, ""))
        told.append(caught.value.refusal.code)
    assert told[:2] == told[2:]
    shapes = [json.loads(raw) for raw in list(vault.entries())[-2:]]
    for shape in shapes:
        shape["command"].pop("name")
        for random in ("lease",):
            shape["command"].pop(random)
        for place in ("seq", "at", "request"):
            shape.pop(place)
    assert shapes[0] == shapes[1]


def test_sinks_are_private_and_follow_no_link(path: Path, tmp_path: Path, opened: Opener) -> None:
    os.umask(0)
    sink = ironsecrets.JsonLinesSink(tmp_path / "audit.jsonl")
    opened(sinks=[sink])
    assert (tmp_path / "audit.jsonl").stat().st_mode & 0o777 == 0o600
    (tmp_path / "target").touch()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    other = opened(sinks=[ironsecrets.JsonLinesSink(tmp_path / "link")])
    other.operator("o").put("a", "x", environment="development")
    assert (tmp_path / "target").read_bytes() == b""
    assert other.sinks()[0].error == "builtins.OSError"


def test_backup_while_writing(path: Path, tmp_path: Path, opened: Opener) -> None:
    """VACUUM INTO is a consistent copy; it opens, and a remembered checkpoint says what it lacks."""
    vault = opened()
    operator = vault.operator("o")
    operator.put("a", "x", environment="development")
    apsw.Connection(str(path)).execute("VACUUM INTO ?", (str(tmp_path / "copy"),))
    operator.put("a", "y", environment="development")
    seen = vault.checkpoint()
    with ironsecrets.open_vault(tmp_path / "copy", master_key=MASTER_KEY) as copy:
        assert isinstance(copy.verify(), Success)
    with pytest.raises(ironsecrets.IntegrityError, match="older copy"):
        ironsecrets.open_vault(tmp_path / "copy", master_key=MASTER_KEY, checkpoint=seen)


def test_a_database_without_its_wal_is_found_with_a_checkpoint(path: Path, opened: Opener) -> None:
    vault = opened()
    vault.operator("o").put("a", "x", environment="development")
    seen = vault.checkpoint()
    alone = path.with_name("alone")
    subprocess.run(["cp", str(path), str(alone)], check=True)
    with pytest.raises(ironsecrets.IntegrityError, match="older copy"):
        ironsecrets.open_vault(alone, master_key=MASTER_KEY, checkpoint=seen)


def test_migrations_go_forward(path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    opened().operator("o").put("a", "x", environment="development")
    longer = (*sqlite_schema.MIGRATIONS, "CREATE TABLE later (a INTEGER) STRICT; CREATE TABLE last (a ANY) STRICT")
    connection = apsw.Connection(str(path))
    broken = (*sqlite_schema.MIGRATIONS, "CREATE TABLE later (a INTEGER) STRICT; CREATE TABLE later (a INTEGER) STRICT")
    with pytest.raises(apsw.SQLError):
        sqlite_schema.migrate(connection, broken)
    sqlite_schema.check_identity(connection, str(path))
    sqlite_schema.migrate(connection, longer)
    sqlite_schema.migrate(connection, longer)
    sqlite_schema.check_identity(connection, str(path), longer)
    assert connection.execute("pragma user_version").fetchall() == [(2,)]
    connection.close()
    with pytest.raises(ironsecrets.NewerFormat, match="upgrade"):
        SqliteStore(path)


def test_opening_the_file_with_python_happens_nowhere() -> None:
    """Python's ``open`` on the database would drop SQLite's locks in this process when it closes."""
    for file in Path(sqlite_schema.__file__).parent.glob("sqlite_*.py"):
        assert "open(" not in file.read_text().replace("os.open(making", "").replace("os.open(path.parent", "").replace(
            "_open(", ""
        ), file
