"""Law 3, for keys: rotation keeps every live value, a retired epoch's key opens nothing, a crash changes no end."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from returns.result import Failure, Success

from interpreters.store import Store
from interpreters.vault import Vault
from ironsecrets.sealing import open_value
from properties import stores
from properties import strategies as s
from properties.dying import Dying, Killed
from properties.worlds import credential, new_vault, opened_again, world


def filled(store: Store, values: list[bytes]) -> dict[str, bytes]:
    """A vault with these values, some of them superseded or destroyed; what is live by name."""
    vault = new_vault(store)
    operator = vault.operator("olga")
    for number, value in enumerate(values):
        operator.put(f"n/{number}", b"superseded", environment="development")
        operator.put(f"n/{number}", value, environment="development")
        if number % 3 == 0:
            operator.destroy(f"n/{number}", environment="development", version=1)
    return {f"n/{number}": value for number, value in enumerate(values)}


def values_of(vault: Vault, live: dict[str, bytes]) -> dict[str, bytes]:
    operator = vault.operator("olga")
    found: dict[str, bytes] = {}
    for name in live:
        with operator.reveal(name, environment="development") as value:
            found[name] = value.bytes()
    return found


@given(values=st.lists(s.values, min_size=1, max_size=8), batch=st.integers(1, 4))
def test_rotation_keeps_every_value_and_the_old_key_opens_nothing(
    make_store: Callable[[], Store], values: list[bytes], batch: int
) -> None:
    store = make_store()
    live = filled(store, values)
    vault = opened_again(store)
    old = bytes(vault._engine.keys.epoch(1) or b"")  # pyright: ignore[reportPrivateUsage]
    bodies = {(r.secret, r.version): r.body for r in store.records()}
    seen: list[tuple[int, int]] = []
    rotated = vault.operator("olga").rotate_key(batch=batch, progress=lambda done, total: seen.append((done, total)))
    assert (rotated.epoch, rotated.rewrapped, rotated.resumed) == (2, len(values), False)
    assert seen[-1] == (len(values), len(values))
    assert values_of(vault, live) == live
    assert isinstance(vault.verify(), Success)
    digests = {
        (secret.id, v.number): v.digest for secret in vault.state.secrets.by_id.values() for v in secret.versions
    }
    for record in store.records():
        assert record.epoch == 2
        assert record.body == bodies[record.secret, record.version], "ciphertexts stay as they are"
        digest = digests[record.secret, record.version]
        assert isinstance(open_value(record, vault=vault.state.vault, epoch_key=old, expected=digest), Failure)
    assert vault._engine.keys.epoch(1) is None  # pyright: ignore[reportPrivateUsage]
    assert [epoch.number for epoch in vault.header.epochs] == [2]
    assert not vault.state.rewrapped, "and the next rotation begins with none"
    assert opened_again(store).state == vault.state
    wraps = [record.wrap[24:56] for record in store.records()]
    assert len(set(wraps)) == len(wraps), "no key and nonce seal twice"


@given(
    values=st.lists(s.values, min_size=2, max_size=6),
    deaths=st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=4),
)
def test_dying_at_any_batch_changes_no_end(
    make_store: Callable[[], Store], values: list[bytes], deaths: list[tuple[int, bool]]
) -> None:
    store = make_store()
    live = filled(store, values)
    for after, durable in deaths:
        dying: Any = Dying(store, after, durable)
        doomed = opened_again(dying)
        if doomed.state.epoch() == 2 and len(doomed.state.epochs) == 1:
            break
        with suppress(Killed):
            doomed.operator("olga").rotate_key(batch=1)
        again = opened_again(store)
        assert values_of(again, live) == live
        assert isinstance(again.verify(), Success)
    vault = opened_again(store)
    if len(vault.state.epochs) > 1 or vault.state.epoch() == 1:
        vault.operator("olga").rotate_key(batch=2)
    assert [epoch.number for epoch in vault.state.epochs] == [2]
    assert sum(epoch.live for epoch in vault.state.epochs) == len(list(store.records()))
    assert values_of(vault, live) == live
    assert isinstance(vault.verify(), Success)


@given(values=st.lists(s.values, min_size=1, max_size=6), batch=st.integers(1, 2))
def test_the_vault_serves_all_the_while(make_store: Callable[[], Store], values: list[bytes], batch: int) -> None:
    """Another process reads, writes, destroys and leases between the batches."""
    store = make_store()
    live = filled(store, values)
    vault, other = opened_again(store), opened_again(store, world(5))
    operator = other.operator("otto")

    def meanwhile(done: int, total: int) -> None:
        assert values_of(other, live) == live
        live["n/0"] = b"written at %d" % done
        operator.put("n/0", live["n/0"], environment="development")
        live[f"new/{done}"] = b"new"
        operator.put(f"new/{done}", b"new", environment="development")
        if done == 1 and len(live) > 3:
            operator.erase(f"new/{done}", environment="development")
            del live[f"new/{done}"]

    vault.operator("olga").rotate_key(batch=batch, progress=meanwhile)
    for one in (vault, other, opened_again(store)):
        assert values_of(one, live) == live
        assert isinstance(one.verify(), Success)
    assert {record.epoch for record in store.records()} == {2}


def test_slots_come_and_go(make_store: Callable[[], Store]) -> None:
    from interpreters.derivation import master_key_credential, new_recovery_key, recovery_key_credential
    from interpreters.doors import open_on
    from ironsecrets.errors import CannotUnlock, Refused

    store = make_store()
    live = filled(store, [b"one", b"two"])
    vault = opened_again(store)
    operator = vault.operator("olga")
    text = new_recovery_key(bytes(range(32))).bytes().decode()
    recovery = lambda: recovery_key_credential(text.lower().replace("-", " "))  # noqa: E731
    second = lambda: master_key_credential(b"2" * 32)  # noqa: E731
    first_slot = vault.header.slots[0].id
    with pytest.raises(Refused) as caught:
        operator.remove_slot(first_slot)
    assert caught.value.refusal.code == "last-slot"
    operator.add_slot(unlock=credential(), new=recovery())
    changed = operator.change_slot(unlock=credential(), new=second())
    assert values_of(open_on(store, recovery(), world=world(7)), live) == live
    assert values_of(open_on(store, second(), world=world(8)), live) == live
    with pytest.raises(CannotUnlock):
        open_on(store, credential())
    with pytest.raises(CannotUnlock, match="needs its credential"):
        operator.rekey(credentials=[second()])
    assert operator.rekey(credentials=[second(), recovery()]) == 2
    operator.rotate_key()
    assert values_of(open_on(store, recovery(), world=world(9)), live) == live
    assert operator.rekey(credentials=[recovery()], drop=[changed]) == 3
    with pytest.raises(CannotUnlock):
        open_on(store, second())
    again = open_on(store, recovery(), world=world(10))
    assert values_of(again, live) == live
    assert isinstance(again.verify(), Success)
    assert isinstance(vault.verify(), Success)
    assert again.state == vault.state


@given(st.binary(min_size=32, max_size=32), st.data())
def test_recovery_keys_survive_being_typed(raw: bytes, data: st.DataObject) -> None:
    from interpreters.derivation import new_recovery_key, recovery_key_credential
    from ironsecrets.errors import CannotUnlock

    text = new_recovery_key(raw).bytes().decode()
    assert all(len(group) == 7 for group in text.split("-"))
    for typed in (text, text.lower(), text.replace("-", ""), text.replace("-", " "), text.replace("O", "0") + "\n"):
        assert recovery_key_credential(typed).material.bytes() == raw
    at = data.draw(st.integers(0, len(text) - 1))
    put = data.draw(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"))
    wrong = text[:at] + put + text[at + 1 :]
    if text[at] not in ("-", put):
        with pytest.raises(CannotUnlock, match="checksum"):
            recovery_key_credential(wrong)


def test_an_epoch_counts_what_was_wrapped_and_what_is_left() -> None:
    vault = new_vault(stores.memory())
    operator = vault.operator("o")
    for number in range(5):
        operator.put("a", f"value {number}", environment="development")
    operator.destroy("a", environment="development", version=1)
    (epoch,) = vault.state.epochs
    assert (epoch.wraps, epoch.live) == (5, 4)
