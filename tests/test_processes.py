"""Several processes and threads on one file."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from returns.result import Success

import ironsecrets
from interpreters.sqlite_store import SqliteStore
from interpreters.store import Batch, Image
from ironsecrets.audit import decode_entry
from ironsecrets.drafts import NewToken
from ironsecrets.identifiers import AgentId, PersonName, RequestId
from ironsecrets.principals import Operator
from ironsecrets.replaying import replay
from properties.worlds import MASTER_KEY
from tests.conftest import Opener

WRITER = """
import sys, ironsecrets
path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
with ironsecrets.open_vault(path, master_key=bytes.fromhex(sys.argv[4])) as vault:
    operator = vault.operator(name)
    for number in range(count):
        operator.put("shared/key", f"{name} {number}", environment="development")
        operator.put(f"{name}/{number}", "x", environment="development")
"""


def writer(path: Path, name: str, count: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path), name, str(count), MASTER_KEY.hex()])


def test_processes_writing_at_once_lose_nothing_and_fork_nothing(path: Path, opened: Opener) -> None:
    vault = opened()
    each, names = 60, ("anna", "bert", "carl")
    writers = [writer(path, name, each) for name in names]
    mine = vault.operator("olga")
    for number in range(each):
        mine.put("shared/key", f"olga {number}", environment="development")
    assert [process.wait(120) for process in writers] == [0, 0, 0]
    secret = mine.history("shared/key", environment="development")
    assert [version.number for version in secret.versions] == list(range(1, 4 * each + 1))
    values: set[str] = set()
    for number in range(1, 4 * each + 1):
        with mine.reveal("shared/key", environment="development", version=number) as value:
            values.add(value.bytes().decode())
    assert values == {f"{name} {number}" for name in (*names, "olga") for number in range(each)}
    assert len(mine.secrets(environment="development")) == 1 + 3 * each
    assert isinstance(vault.verify(), Success)
    assert replay(vault.entries()) == Success(vault.state)


def test_a_request_that_somebody_else_brings_meanwhile_is_answered_once(
    path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that retries elsewhere while the first try is still on its way."""
    vault, other = opened(), opened()
    request = RequestId("rq_" + "7" * 32)
    draft = NewToken(agent=AgentId("agent_one"))
    commit, first = SqliteStore.commit, [True]

    def meanwhile(self: SqliteStore, batch: Batch) -> bool:
        if first.pop() if first else False:
            other.execute(Operator(PersonName("b")), draft, request=request).unwrap()
        return commit(self, batch)

    monkeypatch.setattr(SqliteStore, "commit", meanwhile)
    answer = vault.execute(Operator(PersonName("a")), draft, request=request)
    assert answer.unwrap().repeated
    assert [decode_entry(raw).unwrap().request for raw in vault.entries()].count(request) == 1


def test_keys_that_change_again_while_somebody_catches_up(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    vault, other = opened(), opened()
    vault.operator("a").put("a/key", "the value", environment="development")
    other.operator("b").rotate_key()
    load, left = SqliteStore.load, [True]

    def meanwhile(self: SqliteStore) -> Image | None:
        if left and left.pop():
            other.operator("b").rotate_key()
        return load(self)

    monkeypatch.setattr(SqliteStore, "load", meanwhile)
    assert vault.operator("a").reveal("a/key", environment="development").text() == "the value"
    assert not left
    assert isinstance(vault.verify(), Success)


def test_a_revocation_in_another_process_holds_at_once(path: Path, opened: Opener) -> None:
    vault, other = opened(), opened()
    operator = vault.operator("o")
    operator.put("a", "x", environment="development")
    grant = operator.grant("agent_one", "a", environment="development")
    lease = other.acting_for("agent_one").lease("a", environment="development")
    assert lease.text() == "x"
    operator.put("a", "rotated", environment="development")
    assert lease.text() == "rotated"
    operator.revoke(grant)
    with pytest.raises(ironsecrets.Refused) as caught:
        lease.text()
    assert caught.value.refusal.code == "lease-revoked"
    grant = operator.grant("agent_one", "a", environment="development")
    lease = other.acting_for("agent_one").lease("a", environment="development")
    operator.suspend("agent_one")
    with pytest.raises(ironsecrets.Refused) as caught:
        lease.text()
    assert caught.value.refusal.code == "agent-suspended"


def test_threads_share_one_vault(path: Path, opened: Opener) -> None:
    vault = opened()
    vault.operator("o").grant("agent_one", "**", environment="development")
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            operator, agent = vault.operator(name), vault.acting_for("agent_one")
            for number in range(25):
                operator.put(f"{name}/{number}", f"{name}{number}", environment="development")
                with agent.lease(f"{name}/{number}", environment="development") as lease:
                    assert lease.text() == f"{name}{number}"
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert vault.state.log.size == 2 + 8 * 25 * 3
    assert isinstance(vault.verify(), Success)


def test_a_busy_store_says_so(path: Path, opened: Opener) -> None:
    import apsw

    vault = opened()
    with ironsecrets.open_vault(path, master_key=MASTER_KEY, busy_timeout=0.05) as impatient:
        blocker = apsw.Connection(str(path))
        blocker.execute("begin immediate")
        with pytest.raises(ironsecrets.VaultBusy, match="try again"):
            impatient.operator("o").put("a", "x", environment="development")
        blocker.execute("rollback")
        blocker.close()
        assert impatient.operator("o").put("a", "x", environment="development") == 1
    assert isinstance(vault.verify(), Success)


def test_a_killed_writer_leaves_a_sound_vault(path: Path, opened: Opener) -> None:
    vault = opened()
    for round_ in range(5):
        process = writer(path, f"w{round_}", 10_000)
        size = vault.state.log.size
        while vault.state.log.size < size + 5 + 3 * round_ and process.poll() is None:
            pass
        process.kill()
        process.wait()
        assert isinstance(vault.verify(), Success)
    assert vault.operator("o").put("after", "x", environment="development") == 1


def test_snapshots_shorten_opening_and_change_nothing(path: Path, opened: Opener) -> None:
    vault = opened()
    operator = vault.operator("o")
    for number in range(1100):
        operator.put("a", f"{number}", environment="development")
    image = vault._engine.store.load()
    assert image is not None
    assert image.snapshot is not None, "taken by itself after 1,024 entries"
    assert vault._engine.snapshot_size >= 1024
    with ironsecrets.open_vault(path, master_key=MASTER_KEY) as again:
        assert again.state == vault.state
        assert again._engine.snapshot_size == vault._engine.snapshot_size
    assert isinstance(vault.verify(), Success)
