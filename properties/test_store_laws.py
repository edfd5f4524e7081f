"""Law 6, and what a store promises: conditional, atomic appends that are read back as they were written."""

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from returns.result import Failure, Success

from interpreters.genesis import unlock
from interpreters.moving import transfer
from interpreters.outcome import Ask
from interpreters.store import Batch, Store, StoredEntry
from ironsecrets.identifiers import SecretId
from ironsecrets.principals import Agent
from ironsecrets.sealing import SealedRecord
from properties import stores
from properties import strategies as s
from properties.worlds import SetClock, credential, new_vault, opened_again, world

blobs = st.binary(max_size=64)
_ids = st.integers(0, 4).map(lambda n: SecretId(f"{n:032x}"))
_keys = st.tuples(_ids, st.integers(1, 3))


@st.composite
def batches(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Changes of a store, each with the entries, records and erasures that it makes."""
    return draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "entries": st.lists(blobs, max_size=3),
                    "snapshot": st.none() | blobs,
                    "keep": st.lists(_keys, max_size=2, unique=True),
                    "erase": st.lists(_keys, max_size=2, unique=True),
                    "stale": st.booleans(),
                }
            ),
            max_size=8,
        )
    )


def everything(store: Store) -> tuple[Any, ...]:
    """All that a store shows."""
    records = {(r.secret, r.version): r for r in store.records()}
    return store.load(), list(store.entries(0)), records


@given(batches())
def test_a_store_keeps_what_it_is_given(make_store: Callable[[], Store], changes: list[dict[str, Any]]) -> None:
    store = make_store()
    assert store.load() is None
    assert store.commit(Batch(expected_size=0, header=(b"header", b"mac"), head=b"head 0"))
    entries: list[StoredEntry] = []
    records: dict[Any, SealedRecord] = {}
    snapshot = None
    for change in changes:
        size = len(entries)
        new = tuple(StoredEntry(tag=f"{size + n:016}".encode(), sealed=e) for n, e in enumerate(change["entries"]))
        keep = tuple(
            SealedRecord(secret=k[0], version=k[1], epoch=1, wrap=b"w" * 8, body=b"body %d" % size)
            for k in change["keep"]
            if k not in records
        )
        batch = Batch(
            expected_size=size + change["stale"],
            entries=new,
            head=b"head %d" % (size + len(new)),
            snapshot=change["snapshot"],
            keep=keep,
            erase=tuple(k for k in change["erase"] if k not in change["keep"]),
        )
        before = everything(store)
        if change["stale"]:
            assert not store.commit(batch)
            assert everything(store) == before
            continue
        assert store.commit(batch)
        entries += new
        records.update({(r.secret, r.version): r for r in keep})
        for key in batch.erase:
            records.pop(key, None)
        snapshot = change["snapshot"] if change["snapshot"] is not None else snapshot
        image = store.load()
        assert image is not None
        assert (image.header, image.header_mac, image.snapshot) == (b"header", b"mac", snapshot)
        assert image.head == store.head() == b"head %d" % len(entries)
        assert list(store.entries(0)) == entries
        assert list(store.entries(size, len(entries))) == list(new)
        assert {(r.secret, r.version): r for r in store.records()} == records
        assert all(store.record(*key) == record for key, record in records.items())
        assert store.record(SecretId("f" * 32), 1) is None
        assert [store.find(entry.tag) for entry in entries] == list(range(len(entries)))
        assert store.find(b"no such request!") is None
    store.settle()
    store.close()
    store.close()


@given(st.lists(st.tuples(blobs, st.booleans()), max_size=6))
def test_a_view_stands_still(make_store: Callable[[], Store], changes: list[tuple[bytes, bool]]) -> None:
    store = make_store()
    assert store.commit(Batch(expected_size=0, header=(b"header", b"mac"), head=b"head 0"))
    for size, (blob, keep) in enumerate(changes):
        with store.still() as view:
            seen = everything(view)
            assert seen == everything(store)
            record = SealedRecord(secret=SecretId(f"{size:032x}"), version=1, epoch=1, wrap=b"w", body=blob)
            entry = StoredEntry(tag=f"{size:016}".encode(), sealed=blob)
            head = b"head %d" % (size + 1)
            assert store.commit(
                Batch(expected_size=size, entries=(entry,), head=head, snapshot=blob, keep=(record,) if keep else ())
            )
            assert everything(view) == seen != everything(store)
    store.close()


@given(st.lists(s.drafts | s.commands, max_size=15), st.booleans())
def test_a_vault_arrives_as_it_left(make_store: Callable[[], Store], asked: list[Ask], snapshot: bool) -> None:
    """From any store into any other: the same entries, the same root hash, every record."""
    for source, target in ((stores.memory(), make_store()), (make_store(), stores.memory())):
        vault = new_vault(source)
        for ask in asked:
            vault.execute(s.OPERATOR, ask)
        if snapshot:
            vault.snapshot()
        engine = unlock(source, credential(), world=world(1))
        shown = transfer(engine, target)
        assert shown.root == vault.state.log.root()
        arrived = opened_again(target)
        assert arrived.state == vault.state
        assert list(arrived.entries()) == list(vault.entries())
        assert everything(target) == everything(source)
        vault.close()


@given(st.lists(st.tuples(s.drafts | s.commands, st.sampled_from([0, 1, 1_000_000]), s.agents), max_size=15))
def test_stores_are_observationally_equal(make_store: Callable[[], Store], asked: list[tuple[Ask, int, Any]]) -> None:
    """The same commands in the same world: the same verdicts, states and entries, byte for byte."""
    told: list[Any] = []
    for factory in (make_store, stores.memory):
        where, store = world(), factory()
        clock = where.clock
        assert isinstance(clock, SetClock)
        vault = new_vault(store, where)
        verdicts: list[str] = []
        for ask, later, agent in asked:
            clock.time += later
            leases = type(ask).__name__ in ("NewLease", "OpenLease", "Renew", "Release")
            match vault.execute(Agent(agent) if leases else s.OPERATOR, ask):
                case Success(outcome):
                    shown = outcome.disclosed
                    verdicts.append(f"applied {None if shown is None else shown.bytes()!r}")
                case Failure(refusal):
                    verdicts.append(refusal.code)
                case _:
                    raise AssertionError
        assert isinstance(vault.verify(), Success)
        state = vault.state
        assert opened_again(store).state == state
        vault.snapshot()
        assert opened_again(store).state == state
        told.append((verdicts, state, list(vault.entries()), vault.checkpoint()))
        vault.close()
    assert told[0] == told[1]
