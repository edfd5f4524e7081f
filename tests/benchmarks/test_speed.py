"""The figures of the README, each beside its floor. Run with

``pytest tests/benchmarks --benchmark-enable --benchmark-only -n0``
"""

import asyncio
import hashlib
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from returns.result import Success

import ironsecrets
from interpreters.sqlite_schema import harden
from interpreters.time_zones import load_window
from ironsecrets.audit import decide
from ironsecrets.conditions import Conditions
from ironsecrets.grants import IssueGrant
from ironsecrets.identifiers import (
    AgentId,
    Digest,
    Environment,
    GrantId,
    LeaseId,
    PersonName,
    RequestId,
    SecretId,
    SecretName,
    Selector,
    SlotId,
    VaultId,
)
from ironsecrets.leases import OpenLease
from ironsecrets.merkle import Frontier, leaf_hash
from ironsecrets.principals import Agent, Claims, Operator
from ironsecrets.rates import Rate
from ironsecrets.replaying import replay
from ironsecrets.sealing import SealingDraw, Wrap, digest_of, open_value, rewrap_dek, seal_value, value_context
from ironsecrets.secrets import Put
from ironsecrets.state import EMPTY, VaultState
from ironsecrets.vault import Create, Request, apply
from properties.worlds import MASTER_KEY
from tests.benchmarks import MEASURING
from tests.benchmarks.bulk import grown, name_of

VALUE = os.urandom(64)
ENVIRONMENT = "production"
HISTORY = 5000 if MEASURING else 300


@pytest.fixture
def vault(tmp_path: Path) -> Any:
    made = ironsecrets.create_vault(tmp_path / "vault", master_key=MASTER_KEY)
    operator = made.operator("o")
    operator.put("openai/key", VALUE, environment=ENVIRONMENT)
    operator.grant("agent_one", "openai/*", environment=ENVIRONMENT)
    yield made
    made.close()


def test_floor_aes_256_gcm(benchmark: Any) -> None:
    cipher, nonce = AESGCM(bytes(32)), bytes(12)
    benchmark(cipher.encrypt, nonce, VALUE, b"context")


def test_floor_commit_with_fsync(benchmark: Any, tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / "floor"))
    connection.execute("pragma journal_mode = wal")
    harden(connection, 1)
    connection.execute("create table t (a integer primary key, b blob)")

    def commit() -> None:
        connection.execute("begin immediate; insert into t (b) values (?); commit", (os.urandom(400),))

    benchmark(commit)


def test_seal_and_open_1_kib(benchmark: Any) -> None:
    vault, secret, value = VaultId("a" * 32), SecretId("b" * 32), os.urandom(1024)
    draw = SealingDraw(dek=bytes(32), nonce=bytes(12), salt=bytes(24))

    def both() -> None:
        record = seal_value(
            vault=vault, secret=secret, version=1, epoch=1, epoch_key=bytes(32), value=value, draw=draw
        ).unwrap()
        open_value(record, vault=vault, epoch_key=bytes(32), expected=digest_of(record)).unwrap()

    benchmark(both)


def test_put_durable(benchmark: Any, vault: Any) -> None:
    operator = vault.operator("o")
    benchmark(lambda: operator.put("openai/key", VALUE, environment=ENVIRONMENT))


def test_lease_durable(benchmark: Any, vault: Any) -> None:
    agent = vault.acting_for("agent_one")
    benchmark(lambda: agent.lease("openai/key", environment=ENVIRONMENT))


@pytest.fixture
def floor(tmp_path: Path) -> Any:
    """What a lease cannot do without, bare: select, unwrap, decrypt, hash, insert, commit with fsync."""
    vault, secret = VaultId("a" * 32), SecretId("b" * 32)
    draw = SealingDraw(dek=bytes(32), nonce=bytes(12), salt=bytes(24))
    sealed = seal_value(vault=vault, secret=secret, version=1, epoch=1, epoch_key=bytes(32), value=VALUE, draw=draw)
    record = sealed.unwrap()
    connection = apsw.Connection(str(tmp_path / "floor"))
    connection.execute("pragma journal_mode = wal")
    harden(connection, 1)
    connection.execute("create table records (secret text primary key, wrap blob, body blob)")
    connection.execute("create table log (seq integer primary key, sealed blob)")
    connection.execute("insert into records values (?, ?, ?)", (secret, record.wrap, record.body))
    material, dek = AESGCM(bytes(32)), AESGCM(draw.dek)

    def one() -> None:
        _, body = connection.execute("select wrap, body from records where secret = ?", (secret,)).fetchone()
        expand = HKDFExpand(hashes.SHA256(), 76, b"info").derive(bytes(32))
        dek.decrypt(body[:12], body[12:], value_context(vault, secret, 1))
        entry = os.urandom(400)
        hashlib.sha256(entry).digest()
        sealed = material.encrypt(expand[:12], entry, b"")
        connection.execute("insert into log (sealed) values (?)", (sealed,))

    def grouped(count: int) -> None:
        connection.execute("begin immediate")
        for _ in range(count):
            one()
        connection.execute("commit")

    return grouped


def test_floor_of_a_lease(benchmark: Any, floor: Any) -> None:
    benchmark(lambda: floor(1))


def test_floor_of_32_leases_in_one_commit(benchmark: Any, floor: Any) -> None:
    benchmark(lambda: floor(32))


def test_lease_durable_by_32_threads(benchmark: Any, vault: Any) -> None:
    """Thirty-two leases, one by each of as many threads, which share commits."""
    agent = vault.acting_for("agent_one")
    with ThreadPoolExecutor(32) as pool:
        lease = lambda _: agent.lease("openai/key", environment=ENVIRONMENT)  # noqa: E731
        benchmark(lambda: list(pool.map(lease, range(32))))


def test_use_a_live_lease_again(benchmark: Any, vault: Any) -> None:
    lease = vault.acting_for("agent_one").lease("openai/key", environment=ENVIRONMENT)
    benchmark(lease.bytes)


@pytest.fixture(scope="module")
def crowd() -> VaultState:
    """10,000 agents with ten grants each, with every kind of condition, as values: no store, no commit."""
    state, at = EMPTY, 1_750_000_000_000_000
    operator = Operator(PersonName("olga"))
    window = load_window("daily 00:00-24:00 Europe/Berlin", at).unwrap()
    conditions = Conditions(
        default_ttl=60_000_000,
        maximum_ttl=60_000_000,
        permission="llm:call",
        rate=Rate(burst=1000, count=1000, per=60_000_000),
        windows=(window,),
    )
    commands: list[Any] = [
        Create(header=Digest("0" * 64), kind="master-key", slot=SlotId("0" * 16), vault=VaultId("0" * 32))
    ]
    commands += [
        Put(
            digest=Digest("0" * 64),
            environment=Environment(ENVIRONMENT),
            epoch=1,
            name=SecretName("team/app/key"),
            secret=SecretId("0" * 32),
            version=1,
        )
    ]
    selectors = ("team/app/key", "team/app/*", "team/**", "**", "other/*")
    commands += [
        IssueGrant(
            agent=AgentId(f"agent_{agent}"),
            conditions=conditions,
            environment=Environment(environment),
            grant=GrantId(f"gr_{agent * 10 + number:016x}"),
            selector=Selector(selector),
        )
        for agent in range(10_000)
        for number, (environment, selector) in enumerate(
            (environment, selector) for environment in (ENVIRONMENT, "staging") for selector in selectors
        )
    ]
    for command in commands:
        request = Request(at=at, command=command, id=RequestId("rq_" + "0" * 32), principal=operator)
        state = apply(state, request).unwrap().state
    assert (len(state.agents.by_id), len(state.grants.by_id)) == (10_000, 100_000)
    return state


def test_decide_a_lease_among_100000_grants(benchmark: Any, crowd: VaultState) -> None:
    who = Agent(AgentId("agent_7777"), claims=Claims(permissions=("llm:call",)))
    lease = OpenLease(
        environment=Environment(ENVIRONMENT), lease=LeaseId("ls_" + "0" * 32), name=SecretName("team/app/key")
    )
    request = Request(at=1_750_000_000_000_001, command=lease, id=RequestId("rq_" + "0" * 32), principal=who)
    assert isinstance(apply(crowd, request), Success)
    benchmark(apply, crowd, request)


def test_decide_a_refusal_among_100000_grants(benchmark: Any, crowd: VaultState) -> None:
    lease = OpenLease(environment=Environment(ENVIRONMENT), lease=LeaseId("ls_" + "0" * 32), name=SecretName("x/y/z"))
    request = Request(
        at=1_750_000_000_000_001, command=lease, id=RequestId("rq_" + "0" * 32), principal=Agent(AgentId("agent_7777"))
    )
    assert decide(crowd, request).refusal is not None
    benchmark(decide, crowd, request)


def test_verify_an_ic_token(benchmark: Any) -> None:
    tokens = ironsecrets.ICTokens("0123456789abcdef" * 4)
    token = tokens.issue("agent_researcher", budget="budget_research", permissions=["llm:call"]).text()
    benchmark(tokens.authorise, token)


def test_floor_a_thread_there_and_back(benchmark: Any) -> None:
    """What every call of the asyncio facade costs beside the call."""
    with ThreadPoolExecutor(1) as pool, asyncio.Runner() as runner:

        async def hop() -> None:
            await asyncio.wrap_future(pool.submit(int))

        benchmark(lambda: runner.run(hop()))


def history(vault: Any, entries: int) -> list[bytes]:
    agent = vault.acting_for("agent_one")
    while vault.state.log.size < entries:
        with agent.lease("openai/key", environment=ENVIRONMENT):
            pass
    return list(vault.entries())


def test_floor_hash_5000_entries(benchmark: Any, vault: Any) -> None:
    entries = history(vault, HISTORY)

    def hashed() -> None:
        frontier = Frontier()
        for entry in entries:
            frontier = frontier.append(leaf_hash(entry))

    benchmark.pedantic(hashed, rounds=5)


def test_replay_5000_entries(benchmark: Any, vault: Any) -> None:
    entries = history(vault, HISTORY)
    assert isinstance(replay(entries), Success)
    benchmark.pedantic(lambda: replay(entries), rounds=5)


def test_open_5000_entries(benchmark: Any, vault: Any, tmp_path: Path) -> None:
    history(vault, HISTORY)
    benchmark.pedantic(lambda: ironsecrets.open_vault(tmp_path / "vault", master_key=MASTER_KEY).close(), rounds=10)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10,000 secrets and 100,000 entries."""
    path = tmp_path_factory.mktemp("large") / "vault"
    secrets, entries = (10_000, 100_000) if MEASURING else (50, 200)
    grown(path, secrets=secrets, entries=entries).close()
    return path


def test_open_10000_secrets_and_100000_entries(benchmark: Any, large: Path) -> None:
    benchmark.pedantic(lambda: ironsecrets.open_vault(large, master_key=MASTER_KEY).close(), rounds=5)


def test_import_of_the_package(benchmark: Any) -> None:
    benchmark.pedantic(lambda: subprocess.run([sys.executable, "-c", "import ironsecrets"], check=True), rounds=10)


def test_import_and_the_first_door(benchmark: Any) -> None:
    """Names are resolved when they are used: the first door loads what a vault needs."""
    program = "import ironsecrets; ironsecrets.open_vault"
    benchmark.pedantic(lambda: subprocess.run([sys.executable, "-c", program], check=True), rounds=10)


SECRETS = int(os.environ.get("IRONSECRETS_BENCHMARK_SECRETS", "10000" if MEASURING else "600"))


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A vault of many secrets (``IRONSECRETS_BENCHMARK_SECRETS``), made once."""
    made = grown(tmp_path_factory.mktemp("many") / "vault", secrets=SECRETS, entries=SECRETS)
    yield made
    made.close()


def test_floor_rewrap_every_secret(benchmark: Any, many: Any) -> None:
    """Unwrap, wrap, UPDATE, in the same batches, and nothing else. Rolled back, so that it can be run again."""
    engine = many._engine
    key = engine.keys.epoch(engine.state.epoch())
    connection = engine.store._connected()
    update = "update records set epoch = ?, wrap = ? where secret = ? and version = ?"

    def floor() -> None:
        rows = connection.execute("select secret, version, epoch, wrap from records").fetchall()
        for start in range(0, len(rows), 500):
            connection.execute("begin immediate")
            for secret, version, epoch, wrap in rows[start : start + 500]:
                old = Wrap(secret=secret, version=version, epoch=epoch, wrap=wrap)
                new = rewrap_dek(
                    old, vault=engine.header.vault, old_key=key, new_key=key, epoch=epoch, salt=os.urandom(24)
                ).unwrap()
                connection.execute(update, (epoch, new.wrap, secret, version))
            connection.execute("commit")

    benchmark.pedantic(floor, rounds=2)


def test_rotate_the_epoch_of_every_secret(benchmark: Any, many: Any) -> None:
    slowest = 0.0

    def rotate() -> None:
        nonlocal slowest
        began = time.perf_counter()

        def read(done: int, total: int) -> None:
            nonlocal slowest
            before = time.perf_counter()
            many.operator("o").reveal(name_of(0), environment=ENVIRONMENT).wipe()
            slowest = max(slowest, time.perf_counter() - before)

        many.operator("o").rotate_key(progress=read)
        assert time.perf_counter() > began

    benchmark.pedantic(rotate, rounds=2)
    benchmark.extra_info["slowest read between batches, ms"] = round(slowest * 1000, 2)
    benchmark.extra_info["secrets"] = SECRETS
