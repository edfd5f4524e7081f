"""A vault in PostgreSQL, by several who share it: what holds when, what is durable when, who may do what."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from returns.result import Failure, Success

import ironsecrets
from interpreters.doors import create_on, open_on
from interpreters.memory_store import MemoryStore
from interpreters.places import parse_place
from interpreters.postgres import connections, reads, store
from interpreters.postgres.connections import Connections
from interpreters.postgres.listening import Listener
from interpreters.postgres.location import Location, parse_location
from interpreters.postgres.roles import provision
from interpreters.postgres.store import PostgresStore
from interpreters.sqlite_store import SqliteStore
from interpreters.store import Store
from interpreters.vault import Vault
from ironsecrets import IntegrityError, StoreUnavailable, VaultClosed, VaultExists
from ironsecrets.audit import decode_entry
from ironsecrets.drafts import NewLease
from ironsecrets.identifiers import AgentId, Environment, RequestId, SecretName
from ironsecrets.principals import Agent
from properties.worlds import MASTER_KEY, credential, world
from tests import postgres
from tests.clusters import Server, folder

LEASE = NewLease(name=SecretName("a/key"), environment=Environment("production"))
AGENT = Agent(AgentId("agent_one"))


def location(bound: str = "0") -> Location:
    return parse_location(postgres.fresh(bound))


@pytest.fixture
def vaults() -> Iterator[Callable[..., Vault]]:
    """Make a vault, or open it again as another process would; closed at the end."""
    made: list[Vault] = []

    def vault(where: Location, **options: Any) -> Vault:
        opened = PostgresStore(where, **options)
        made.append(open_on(opened, credential()) if opened.exists() else create_on(opened, credential()))
        return made[-1]

    yield vault
    for one in made:
        one.close()


def furnished(vault: Vault) -> Vault:
    operator = vault.operator("alice")
    operator.put("a/key", "the value", environment="production")
    operator.grant("agent_one", "a/key", environment="production")
    return vault


class SteppedClock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody hears what others tell, so that only the bound holds."""
    monkeypatch.setattr(Listener, "heard", lambda self, topic: (0, 0))


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every time that a connection is taken."""
    taken: list[str] = []
    one = Connections.one

    def counting(self: Connections, deadline: float) -> Any:
        taken.append("taken")
        return one(self, deadline)

    monkeypatch.setattr(Connections, "one", counting)
    return taken


def test_within_the_bound_a_live_lease_needs_no_round_trip(
    vaults: Callable[..., Vault], monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf(monkeypatch)
    clock = SteppedClock()
    vault = furnished(vaults(location("5s"), clock=clock))
    agent = vault.acting_for("agent_one")
    with agent.lease("a/key", environment="production") as lease:
        assert lease.text() == "the value"
        taken = counted(monkeypatch)
        for _ in range(50):
            clock.time += 0.09
            assert lease.text() == "the value"
        assert taken == []
        clock.time += 5
        assert lease.text() == "the value"
        assert taken == ["taken"]


@pytest.mark.parametrize("bound", [0.0, 1.0])
def test_a_revocation_elsewhere_holds_within_the_bound(
    vaults: Callable[..., Vault], monkeypatch: pytest.MonkeyPatch, bound: float
) -> None:
    """Even if nobody tells; with 0, before the next use."""
    deaf(monkeypatch)
    clock, where = SteppedClock(), location(f"{bound}s")
    here, elsewhere = furnished(vaults(where, clock=clock)), vaults(where)
    with here.acting_for("agent_one").lease("a/key", environment="production") as lease:
        assert lease.text() == "the value"
        elsewhere.operator("alice").revoke_agent("agent_one")
        if bound:
            clock.time += bound / 2
            assert lease.text() == "the value", "this is what a bound means"
            clock.time += bound / 2
        with pytest.raises(ironsecrets.Refused):
            lease.text()


def test_a_revocation_is_told_to_other_machines_at_once(vaults: Callable[..., Vault]) -> None:
    where = location("3600s")
    here, elsewhere = furnished(vaults(where)), vaults(where)
    with here.acting_for("agent_one").lease("a/key", environment="production") as lease:
        assert lease.text() == "the value"
        elsewhere.operator("alice").revoke_agent("agent_one")
        refused = threading.Event()

        def use() -> None:
            while not refused.is_set():
                try:
                    lease.text()
                except ironsecrets.Refused:
                    refused.set()

        threading.Thread(target=use, daemon=True).start()
        assert refused.wait(20), "the bound is an hour"


def test_what_is_refused_on_an_old_state_is_looked_at_again(
    vaults: Callable[..., Vault], monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf(monkeypatch)
    clock, where = SteppedClock(), location("3600s")
    here, elsewhere = vaults(where, clock=clock), vaults(where)
    furnished(elsewhere)
    token = elsewhere.operator("alice").enroll("agent_one", replace=True).text()
    with here.agent(token).lease("a/key", environment="production") as lease:
        assert lease.text() == "the value"
    assert isinstance(here.execute(AGENT, NewLease(name=SecretName("a/none"), environment=LEASE.environment)), Failure)


def test_keys_that_another_machine_rotates_within_the_bound(
    vaults: Callable[..., Vault], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read from the store may be newer than what is known: wrapped under an epoch that is news."""
    deaf(monkeypatch)
    monkeypatch.setattr(reads, "KEPT", 0)
    where = location("3600s")
    here, elsewhere = furnished(vaults(where)), vaults(where)
    lease = here.acting_for("agent_one").lease("a/key", environment="production")
    for _ in range(3):
        elsewhere.operator("alice").rotate_key()
        assert here.use_lease(AGENT, lease.id).unwrap().text() == "the value"
        with here.acting_for("agent_one").lease("a/key", environment="production") as again:
            assert again.text() == "the value"
    assert isinstance(here.verify(), Success)


def test_one_request_from_two_machines_is_recorded_once(vaults: Callable[..., Vault]) -> None:
    where = location("3600s")
    first = furnished(vaults(where))
    others = [first, vaults(where), vaults(where)]
    for number in range(20):
        request = RequestId(f"rq_{number:032x}")
        answers: list[Any] = []

        def ask(vault: Vault, answers: list[Any] = answers, request: RequestId = request) -> None:
            answers.append(vault.execute(AGENT, LEASE, request=request))

        threads = [threading.Thread(target=ask, args=(vault,)) for vault in others]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({answer.unwrap().seq for answer in answers}) == 1
        assert [answer.unwrap().repeated for answer in answers].count(False) == 1
    assert isinstance(first.verify(), Success)


def test_a_server_without_notify_and_advisory_locks(
    vaults: Callable[..., Vault], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What other engines lack that speak PostgreSQL's protocol: then turns are taken at a row, and the bound holds."""
    monkeypatch.setattr(store, "_QUEUE", "SELECT no_such_function({turn}); ")
    monkeypatch.setattr(store, "CHANNEL", b"no such type")
    where = location("3600s")
    first = furnished(vaults(where))
    second = vaults(where)
    for number in range(40):
        (first, second)[number % 2].execute(AGENT, LEASE).unwrap()
        second.operator("alice").put("a/key", f"value {number}", environment="production")
    assert second.operator("alice").reveal("a/key", environment="production").text() == "value 39"
    assert isinstance(first.verify(), Success)


def test_threads_and_vaults_share_connections(vaults: Callable[..., Vault]) -> None:
    first = furnished(vaults(location("1s")))
    second = furnished(vaults(location("1s")))
    failed: list[BaseException] = []

    def lease(vault: Vault) -> None:
        try:
            for _ in range(5):
                with vault.acting_for("agent_one").lease("a/key", environment="production") as one:
                    assert one.text() == "the value"
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=lease, args=(vault,)) for vault in (first, second) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert first.state.log.size == second.state.log.size
    assert isinstance(first.verify(), Success)
    with psycopg.connect(postgres.server()) as admin:
        ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ironsecrets'"
        assert admin.execute(ours).fetchone()[0] <= 8 + 1  # type: ignore[index]


def history(vault: Vault) -> None:
    """A little of everything that a log can hold."""
    operator = vault.operator("alice")
    furnished(vault)
    operator.put("a/key", "another value", environment="production")
    with vault.acting_for("agent_one").lease("a/key", environment="production"):
        pass
    operator.rotate_key()
    operator.destroy("a/key", environment="production", version=1)
    operator.suspend("agent_one")


def test_the_same_history_has_the_same_root_everywhere(tmp_path: Path) -> None:
    stores: list[Store] = [MemoryStore(), PostgresStore(location()), PostgresStore(location("60s"))]
    SqliteStore.create(tmp_path / "test.vault")
    stores.append(SqliteStore(tmp_path / "test.vault"))
    roots = set[bytes]()
    for one in stores:
        vault = create_on(one, credential(), world=world())
        history(vault)
        roots.add(vault.verify().unwrap().root)
        assert vault.checkpoint().splitlines()[2] is not None
        vault.close()
    assert len(roots) == 1


def _in_a_fork(vault: Vault, answers: Any) -> None:
    try:
        vault.operator("alice").reveal("a/key", environment="production")
        answers.put("went on")
    except VaultClosed as error:
        answers.put(str(error))


@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_a_forked_child_refuses_and_harms_nobody(vaults: Callable[..., Vault]) -> None:
    vault = furnished(vaults(location("1s")))
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=_in_a_fork, args=(vault, answers))
    child.start()
    assert "fork" in answers.get(timeout=30)
    child.join()
    assert child.exitcode == 0
    assert vault.operator("alice").reveal("a/key", environment="production").text() == "the value"
    vault.operator("alice").put("a/key", "still there", environment="production")


def test_a_server_that_restarts_is_not_noticed(vaults: Callable[..., Vault]) -> None:
    where = location("1s")
    vault = furnished(vaults(where))
    for _ in range(5):
        with psycopg.connect(postgres.server(), autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ironsecrets'"
            )
        vault.operator("alice").put("a/key", "again", environment="production")
        assert vault.operator("alice").reveal("a/key", environment="production").text() == "again"


def test_what_no_standby_has_is_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server waits for ever, or says done when its wait is cut short. We do neither, and nothing is given out."""
    place = folder()
    server = Server(place / "one")
    try:
        server.initialise()
        server.start()
        monkeypatch.setattr(connections, "ANSWER_SECONDS", 1)
        where = parse_location(f"{server.url}?vault=waiting")
        vault = furnished(create_on_place(where))
        server.ask("ALTER SYSTEM SET synchronous_standby_names = 'gone'")
        server.ask("SELECT pg_reload_conf()")
        request = RequestId("rq_" + "5" * 32)
        with pytest.raises(StoreUnavailable, match="may wait for a standby"):
            vault.execute(AGENT, LEASE, request=request)
        cancelling = threading.Event()

        def cancel() -> None:
            while not cancelling.wait(0.05):
                server.ask("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")

        thread = threading.Thread(target=cancel)
        thread.start()
        try:
            with pytest.raises(StoreUnavailable, match="standby does not confirm"):
                vault.execute(AGENT, LEASE)
        finally:
            cancelling.set()
            thread.join()
        vault.close()
        server.ask("ALTER SYSTEM RESET synchronous_standby_names")
        server.ask("SELECT pg_reload_conf()")
        with open_on(PostgresStore(where), credential()) as again:
            answer = again.execute(AGENT, LEASE, request=request).unwrap()
            assert answer.repeated, "it had been committed here, and is found, not done twice"
            requests = [decode_entry(raw).unwrap().request for raw in again.entries()]
            assert requests.count(request) == 1
    finally:
        server.kill()


def create_on_place(where: Location) -> Vault:
    PostgresStore.prepare(where)
    return create_on(PostgresStore(where, patience=2), credential())


def test_settings_that_lose_commits_are_overruled_or_refused(vaults: Callable[..., Vault]) -> None:
    where = parse_location(postgres.fresh() + "&options=-c%20synchronous_commit%3Doff")
    vaults(where)
    with Connections.to(where).one(0) as link:
        assert link.execute("SHOW synchronous_commit").fetchone() == ("on",)
    place = folder()
    server = Server(place / "one")
    try:
        server.initialise()
        server.start(fsync="off")
        with pytest.raises(StoreUnavailable, match="fsync = off"):
            PostgresStore(parse_location(server.url))
    finally:
        server.kill()


def test_a_vault_appears_whole_or_not_at_all(
    vaults: Callable[..., Vault], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "test.vault"
    with ironsecrets.create_vault(path, master_key=MASTER_KEY) as vault:
        history(vault)
        where = postgres.fresh()
        commit = PostgresStore.commit
        for last in range(3):
            left = [last]

            def failing(self: PostgresStore, batch: Any, left: list[int] = left) -> bool:
                left[0] -= 1
                if left[0] < 0:
                    raise StoreUnavailable("the server has gone")
                return commit(self, batch)

            monkeypatch.setattr(PostgresStore, "commit", failing)
            with pytest.raises(StoreUnavailable):
                vault.migrate(where)
            monkeypatch.undo()
            assert not PostgresStore(parse_location(where)).exists()
        moved = vault.migrate(where)
        assert moved.root == vault.state.log.root().hex()
        with pytest.raises(VaultExists):
            vault.migrate(where)


def test_a_vault_that_others_write_to_is_not_migrated_by_halves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "test.vault"
    with ironsecrets.create_vault(path, master_key=MASTER_KEY) as vault:
        history(vault)
        other = ironsecrets.open_vault(path, master_key=MASTER_KEY)
        records, times = SqliteStore.records, [0]

        def meanwhile(self: SqliteStore) -> Any:
            times[0] += 1
            if times[0] <= 2:
                other.operator("bob").put(f"b/{times[0]}", "x", environment="production")
            return records(self)

        monkeypatch.setattr(SqliteStore, "records", meanwhile)
        where = postgres.fresh()
        vault.migrate(where)
        other.close()
    with ironsecrets.open_vault(where, master_key=MASTER_KEY) as arrived:
        assert {secret.name for secret in arrived.state.secrets.by_id.values()} == {"a/key", "b/1", "b/2"}
        assert isinstance(arrived.verify(), Success)


def test_a_backup_is_taken_while_others_write(vaults: Callable[..., Vault], tmp_path: Path) -> None:
    where = location("1s")
    vault, other = furnished(vaults(where)), vaults(where)
    stop, failed = threading.Event(), list[BaseException]()

    def write() -> None:
        try:
            while not stop.is_set():
                other.operator("w").put("a/key", os.urandom(500), environment="production")
                other.operator("w").rotate_key()
        except BaseException as error:
            failed.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = [vault.backup(tmp_path / f"backup{number}") for number in range(4)]
    finally:
        stop.set()
        writer.join()
    assert not failed
    assert made[0].verification.entries < made[3].verification.entries
    for one in made:
        with ironsecrets.open_vault(one.path, master_key=MASTER_KEY) as again:
            assert again.verify().unwrap() == one.verification


def test_migration_there_and_back_with_archived_entries(tmp_path: Path) -> None:
    from datetime import UTC, datetime, timedelta

    with ironsecrets.create_vault(tmp_path / "one.vault", master_key=MASTER_KEY) as vault:
        history(vault)
        vault.archive("alice", before=datetime.now(UTC) + timedelta(days=1), folder=tmp_path / "segments")
        history_again = vault.operator("alice")
        history_again.put("b/key", os.urandom(3000), environment="production")
        root, note = vault.state.log.root().hex(), vault.checkpoint()
        where = postgres.fresh()
        assert vault.migrate(where).root == root
    with ironsecrets.open_vault(where, master_key=MASTER_KEY, checkpoint=note) as there:
        assert there.check_segments(tmp_path / "segments").unwrap().missing == ()
        assert there.migrate(tmp_path / "two.vault").root == root
    with ironsecrets.open_vault(tmp_path / "two.vault", master_key=MASTER_KEY, checkpoint=note) as back:
        assert back.verify().unwrap().root.hex() == root
        assert isinstance(parse_place(where), Location)


@pytest.fixture
def roles() -> Iterator[tuple[Location, Location]]:
    """A vault as its owner sees it, and as a service does whose role the owner has provided for."""
    owner = location()
    with psycopg.connect(postgres.server(), autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS service")
        admin.execute("CREATE ROLE service LOGIN")
    provision(owner, "service")
    yield owner, parse_location(postgres.fresh_for(owner, "service"))
    with psycopg.connect(postgres.server(), autocommit=True) as admin:
        admin.execute("DROP OWNED BY service")
        admin.execute("DROP ROLE service")


def test_a_service_does_everything_but_rewrite_the_log(roles: tuple[Location, Location]) -> None:
    _, service = roles
    with create_on(PostgresStore(service), credential()) as vault:
        history(vault)
        assert isinstance(vault.verify(), Success)
    with psycopg.connect(service.conninfo, autocommit=True) as link:
        for statement in (
            "UPDATE ironsecrets.entries SET sealed = 'x'",
            "DELETE FROM ironsecrets.entries",
            "TRUNCATE ironsecrets.entries",
            "DELETE FROM ironsecrets.heads",
            "DELETE FROM ironsecrets.headers",
            "INSERT INTO ironsecrets.archives VALUES ('a', 0, 1, 'x')",
            "DROP TABLE ironsecrets.entries",
            "ALTER TABLE ironsecrets.entries DISABLE TRIGGER ALL",
            "CREATE TABLE ironsecrets.more (a int)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                link.execute(statement.encode())


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE {e} SET sealed = overlay(sealed placing 'xxx' from 60) WHERE {v} AND seq = 2", "entry 2"),
        ("UPDATE {e} SET request = '0123456789abcdef' WHERE {v} AND seq = 3", "entry 3: request"),
        ("DELETE FROM {e} WHERE {v} AND seq = 2", "entry 2"),
        ("DELETE FROM {e} WHERE {v} AND seq = (SELECT max(seq) FROM {e} WHERE {v})", "entry"),
        ("INSERT INTO {e} SELECT vault, max(seq) + 1, 'x', 'y' FROM {e} WHERE {v} GROUP BY vault", "entry beyond"),
        ("UPDATE ironsecrets.heads SET body = overlay(body placing 'xxx' from 40) WHERE {v}", "log head"),
        ("DELETE FROM ironsecrets.heads WHERE {v}", "head of the log is missing"),
        ("UPDATE ironsecrets.headers SET mac = 'x' WHERE {v}", "header was changed"),
        ("UPDATE ironsecrets.records SET epoch = 1 WHERE {v}", "sealed record"),
        ("DELETE FROM ironsecrets.records WHERE {v}", "nothing in its place"),
        ("UPDATE ironsecrets.records SET version = 77 WHERE {v}", "version"),
    ],
)
def test_an_administrator_who_rewrites_is_found(statement: str, named: str) -> None:
    where = location()
    with create_on(PostgresStore(where), credential()) as vault:
        history(vault)
    with psycopg.connect(postgres.server(), autocommit=True) as admin:
        text = statement.format(e="ironsecrets.entries", v=f"vault = '{where.vault}'")
        assert admin.execute(text.encode()).rowcount
    assert named in found(where)


def found(where: Location) -> str:
    """What opening the vault, or verifying it, finds wrong."""
    opened = PostgresStore(where)
    try:
        with open_on(opened, credential()) as again:
            return again.verify().failure().line()
    except IntegrityError as error:
        return str(error)
    finally:
        opened.close()


def test_a_size_that_is_not_the_logs_stops_every_commit() -> None:
    where = location()
    with create_on(PostgresStore(where), credential()) as vault:
        furnished(vault)
        with psycopg.connect(postgres.server(), autocommit=True) as admin:
            admin.execute("UPDATE ironsecrets.heads SET size = size + 1 WHERE vault = %s", (where.vault,))
        with pytest.raises(IntegrityError, match="beyond the head"):
            vault.operator("alice").put("a/key", "lost", environment="production")


def test_an_older_copy_in_the_database_is_refused() -> None:
    """An administrator who puts all of a vault's rows back to what they were: who kept a checkpoint finds it."""
    where = location()
    with create_on(PostgresStore(where), credential()) as vault:
        furnished(vault)
        with psycopg.connect(postgres.server(), autocommit=True) as admin:
            tables = ("heads", "headers", "entries", "snapshots", "records")
            mine = f"FROM ironsecrets.{{0}} WHERE vault = '{where.vault}'"
            for table in tables:
                admin.execute(f"CREATE TABLE old_{table} AS SELECT * {mine.format(table)}".encode())
            vault.operator("alice").revoke_agent("agent_one")
            note = vault.checkpoint()
            for table in tables:
                admin.execute(f"DELETE {mine.format(table)}".encode())
                admin.execute(f"INSERT INTO ironsecrets.{table} SELECT * FROM old_{table}".encode())
                admin.execute(f"DROP TABLE old_{table}".encode())
        with pytest.raises(IntegrityError, match="shorter"):
            vault.acting_for("agent_one").lease("a/key", environment="production")
    opened = PostgresStore(where)
    with pytest.raises(IntegrityError, match="older"):
        open_on(opened, credential(), checkpoint=note)
    opened.close()
