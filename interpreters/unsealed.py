"""Opening what a store holds, or saying what was tampered with."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from returns.result import Failure, Result, Success

from interpreters.store import Store
from ironsecrets.at_rest import unseal_entry
from ironsecrets.errors import IntegrityError
from ironsecrets.identifiers import VaultId
from ironsecrets.keyring import Keys
from ironsecrets.merkle import Frontier
from ironsecrets.refusals import Tampered
from ironsecrets.replaying import Divergence, replay
from ironsecrets.state import VaultState

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


def agreed(result: Result[_T, Divergence]) -> _T:
    """The value, or :class:`IntegrityError` naming where the log diverges."""
    match result:
        case Success(value):
            return value
        case Failure(divergence):
            raise IntegrityError(divergence.line())
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
