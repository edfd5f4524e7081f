"""Opening what a store holds, or saying what was tampered with."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from returns.result import Failure, Result, Success

from interpreters.store import Image, Store
from ironsecrets.at_rest import decode_head, unseal_entry, unseal_leaves, unseal_snapshot
from ironsecrets.errors import IntegrityError
from ironsecrets.identifiers import VaultId
from ironsecrets.keyring import Keys
from ironsecrets.merkle import Frontier
from ironsecrets.refusals import Tampered
from ironsecrets.replaying import Divergence, replay
from ironsecrets.state import EMPTY, VaultState

_T = TypeVar("_T")


def found(result: Result[_T, Tampered]) -> _T:
    """The value, or :class:`IntegrityError` naming what was tampered with."""
    match result:
        case Success(value):
            return value
        case Failure(tampered):
            raise IntegrityError(f"{tampered.what} was changed or put back from elsewhere")
        case _:
            raise AssertionError


def agreed(result: Result[_T, Divergence], what: str = "") -> _T:
    """The value, or :class:`IntegrityError` naming where the log diverges, and ``what`` does not verify therefore."""
    match result:
        case Success(value):
            return value
        case Failure(divergence):
            raise IntegrityError(f"{what} does not verify: {divergence.line()}" if what else divergence.line())
        case _:
            raise AssertionError


def plain_entries(store: Store, keys: Keys, vault: VaultId, start: int, stop: int | None) -> Iterator[bytes]:
    """The plain bytes of a store's entries."""
    for seq, stored in enumerate(store.entries(start, stop), start):
        yield found(unseal_entry(keys, vault, seq, stored.sealed))


def caught_up(state: VaultState, tail: Iterable[bytes], head: Frontier) -> VaultState:
    """The state after ``tail``, which must replay and end at ``head``, or :class:`IntegrityError`."""
    after = agreed(replay(tail, state))
    if after.log != head:
        raise IntegrityError("the log does not agree with its head: entries were changed, cut or put back")
    return after


def restored(store: Store, image: Image, keys: Keys, vault: VaultId) -> tuple[VaultState, int]:
    """The state that an unlocked store holds, from its latest snapshot on, and that snapshot's size."""
    head = found(decode_head(keys, vault, image.head))
    state = base_of(image, keys, vault)
    if image.snapshot is not None:
        snapshot = found(unseal_snapshot(keys, vault, image.snapshot))
        if snapshot.log.size >= state.log.size:
            state = snapshot
    if state.log.size > head.size:
        raise IntegrityError("the log is shorter than its snapshot: it was cut or put back to an older copy")
    snapshot_size = state.log.size
    tail = plain_entries(store, keys, vault, snapshot_size, head.size)
    return caught_up(state, tail, head), snapshot_size


def base_of(image: Image, keys: Keys, vault: VaultId) -> VaultState:
    """The state before the first entry that is not archived."""
    return EMPTY if image.base is None else found(unseal_snapshot(keys, vault, image.base))


def archived_leaves(store: Store, keys: Keys, vault: VaultId) -> list[bytes]:
    """The leaf hashes of all archived entries."""
    leaves: list[bytes] = []
    for part in store.archives():
        if part.start != len(leaves):
            raise IntegrityError(f"the leaf hashes from entry {len(leaves)} on are missing")
        leaves += found(unseal_leaves(keys, vault, part.start, part.stop, part.leaves))
    return leaves
