"""Backups and restores, each verified before it counts, and compaction."""

import os
from contextlib import suppress
from pathlib import Path

import attrs
from returns.result import Failure, Success

from interpreters.conversions import accepted
from interpreters.derivation import Credential
from interpreters.engine import Engine
from interpreters.genesis import unlock
from interpreters.outcome import Prepared, Verification
from interpreters.proof import Progress, show, verify
from interpreters.sinks import Sinks
from interpreters.sqlite_files import publish
from interpreters.sqlite_store import SqliteStore
from interpreters.unsealed import restored
from interpreters.witness import Witness
from ironsecrets.errors import IntegrityError, StoreUnavailable, VaultBusy, VaultError, VaultExists
from ironsecrets.header import header_digest
from ironsecrets.identifiers import Digest
from ironsecrets.principals import Operator
from ironsecrets.retention import Restore

ATTEMPTS = 5


@attrs.frozen(kw_only=True)
class Backup:
    """A finished backup: where it is, what its verification has shown, and its size in bytes."""

    path: Path
    verification: Verification
    size: int


@attrs.frozen(kw_only=True)
class Compaction:
    """The size of the file in bytes, before and after. ``final`` is False where a reader still held old pages."""

    before: int
    after: int
    final: bool


def _file(engine: Engine, what: str) -> SqliteStore:
    if not isinstance(engine.store, SqliteStore):
        raise VaultError(f"{what} is for a vault in a file; this one's store has ways of its own")
    return engine.store


def _making(target: Path) -> Path:
    if os.path.lexists(target):
        raise VaultExists(f"{target} exists already; nothing was changed")
    if not target.parent.is_dir():
        raise StoreUnavailable(f"the folder {target.parent} does not exist; make it first")
    return target.with_name(f".{target.name}.{os.urandom(6).hex()}.new")


def _gone(making: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal", "-ballast"):
        with suppress(OSError):
            os.unlink(f"{making}{suffix}")


def _verified(engine: Engine, progress: Progress | None, what: str) -> Verification:
    match verify(engine, progress):
        case Success(shown):
            return shown
        case Failure(divergence):
            raise IntegrityError(f"{what} does not verify: {divergence.line()}")
        case _:
            raise AssertionError


def backup(engine: Engine, target: Path, progress: Progress | None = None) -> Backup:
    """Copy the vault as it is at one moment, while others go on writing, into one file, and verify that file.

    It appears whole and verified, with mode 0600, or not at all. It is unlocked by what unlocked the vault then.
    """
    engine.check_usable()
    store, making = _file(engine, "a backup"), _making(target)
    try:
        for _ in range(ATTEMPTS):
            store.copy_to(making)
            copy = SqliteStore(making, ballast=False)
            try:
                again = _same_keys(engine, copy)
                if again is not None:
                    shown = _verified(again, progress, "the backup")
                    break
            finally:
                copy.close()
            _gone(making)
        else:
            raise VaultBusy("others kept changing the vault's keys; try again")
        size = making.stat().st_size
        publish(making, target)
    finally:
        _gone(making)
    return Backup(path=target, verification=shown, size=size)


def _same_keys(engine: Engine, store: SqliteStore) -> Engine | None:
    """The copy, opened with the keys of the vault, which stay the vault's; None where they changed meanwhile."""
    image = store.load()
    if image is None:
        raise IntegrityError("the copy holds no vault")
    with engine.lock:
        engine.catch_up()
        header, keys = engine.header, engine.keys
        if header_digest(image.header) != engine.state.header:
            return None
        state, size = restored(store, image, keys, header.vault)
    return Engine(
        store=store,
        keys=keys,
        header=header,
        state=state,
        snapshot_size=size,
        clock=engine.clock,
        entropy=engine.entropy,
        sinks=Sinks(()),
    )


def restore(
    source: Path,
    target: Path,
    credential: Credential,
    operator: Operator,
    *,
    checkpoint: str | None = None,
    witness: Witness | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Put a backup at ``target``, where nothing may be: verify it, mark the restore in its log, give it the name.

    ``checkpoint`` is the last that the caller has seen, ``witness`` somebody who remembers: a backup from before is
    refused, since what happened after it would be lost without a trace.
    """
    making = _making(target)
    try:
        SqliteStore.copy(source, making)
        store = SqliteStore(making, ballast=False)
        try:
            engine = unlock(store, credential, checkpoint=checkpoint)
            try:
                shown = _verified(engine, progress, "the backup")
                if witness is not None:
                    show(engine, witness)
                log = engine.state.log
                mark = Restore(entries=log.size, root=Digest(log.root().hex()))
                accepted(engine.perform(operator, lambda state, at: Success(Prepared(command=mark))))
            finally:
                engine.close()
        finally:
            store.close()
        publish(making, target)
    finally:
        _gone(making)
    return shown


def compact(engine: Engine) -> Compaction:
    """Rewrite the file without its free pages. Others wait meanwhile; nobody loses anything."""
    engine.check_usable()
    store = _file(engine, "compaction")
    with engine.lock:
        before, after, final = store.compact()
    return Compaction(before=before, after=after, final=final)
