"""A vault from one store into another, as it is: the same header, entries and records, the same root hash."""

from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from typing import TypeVar

import attrs

from interpreters.engine import Engine
from interpreters.outcome import Verification
from interpreters.places import Place, arriving
from interpreters.proof import Progress, verify
from interpreters.store import Batch, Store
from interpreters.unsealed import agreed, restored
from ironsecrets.errors import IntegrityError, VaultBusy
from ironsecrets.header import header_digest
from ironsecrets.identifiers import Digest

CHUNK = 500
ATTEMPTS = 5

_T = TypeVar("_T")


@attrs.frozen(kw_only=True)
class Moved:
    """A vault that has arrived: where, what its verification there has shown, and the root hash, which is the same."""

    place: Place
    verification: Verification
    root: Digest


def migrate(engine: Engine, place: Place, progress: Progress | None = None) -> Moved:
    """Copy the vault to ``place``, where none may be, and verify by replay what arrived before it counts.

    Refuses where others go on writing meanwhile. The old one stays as it was, and is from then on another vault.
    """
    engine.check_usable()
    with engine.lock:
        for _ in range(ATTEMPTS):
            with suppress(_Changed), arriving(place) as target:
                shown = transfer(engine, target, progress)
                return Moved(place=place, verification=shown, root=Digest(engine.state.log.root().hex()))
    raise VaultBusy("others keep writing to the vault; stop them first")


class _Changed(Exception):
    """The vault was written to while it was copied."""


def transfer(engine: Engine, target: Store, progress: Progress | None = None) -> Verification:
    """Fill an empty store with all that the engine's holds, and verify it there. The caller holds the engine's lock."""
    engine.refresh()
    before = engine.state.log

    def check() -> None:
        engine.refresh()
        if engine.state.log != before:
            raise _Changed

    try:
        _send(engine, target, progress)
        with same_keys(engine, target) as copy:
            if copy is None:
                raise _Changed
            shown = agreed(verify(copy, progress), "what arrived")
    except IntegrityError:
        check()
        raise
    check()
    return shown


def _send(engine: Engine, target: Store, progress: Progress | None) -> None:
    source, size = engine.store, engine.state.log.size
    image = source.load()
    if image is None:
        raise IntegrityError("the store holds no vault any more")
    first = Batch(
        expected_size=0,
        header=(image.header, image.header_mac),
        head=image.head,
        snapshot=image.snapshot,
        base=image.base,
    )
    _sent(target, first)
    at = 0
    for part in source.archives():
        _sent(target, Batch(expected_size=at, archive=part))
        at = part.stop
    for entries in _chunks(source.entries(at, size)):
        _sent(target, Batch(expected_size=at, entries=tuple(entries)))
        at += len(entries)
        if progress is not None:
            progress(at, size)
    for records in _chunks(source.records()):
        _sent(target, Batch(expected_size=at, keep=tuple(records)))


def _sent(target: Store, batch: Batch) -> None:
    if not target.commit(batch):
        raise IntegrityError("the store that the vault was to arrive in was written to meanwhile")


def _chunks(values: Iterator[_T]) -> Iterator[list[_T]]:
    while chunk := list(islice(values, CHUNK)):
        yield chunk


@contextmanager
def same_keys(engine: Engine, store: Store) -> Generator[Engine | None]:
    """A copy, opened with the keys of the vault; None where they have changed meanwhile."""
    image = store.load()
    if image is None:
        raise IntegrityError("the copy holds no vault")
    with ExitStack() as stack:
        with engine.lock:
            engine.refresh()
            same = header_digest(image.header) == engine.state.header
            copy = stack.enter_context(engine.beside(store)) if same else None
        if copy is not None:
            copy.state, copy.snapshot_size = restored(store, image, copy.keys, copy.header.vault)
        yield copy
