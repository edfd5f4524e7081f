"""Backups and restores, each verified before it counts, and compaction."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
from returns.result import Success

from interpreters.conversions import accepted
from interpreters.derivation import Credential
from interpreters.engine import Engine
from interpreters.genesis import unlock
from interpreters.moving import ATTEMPTS, migrate, same_keys
from interpreters.outcome import Prepared, Verification
from interpreters.places import Place, check_free, gone, making
from interpreters.proof import Progress, show, verify
from interpreters.sqlite_store import SqliteStore
from interpreters.unsealed import agreed
from interpreters.witness import Witness
from ironsecrets.errors import VaultBusy, VaultError
from ironsecrets.identifiers import Digest
from ironsecrets.principals import Operator
from ironsecrets.retention import Restore


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


def backup(engine: Engine, target: Path, progress: Progress | None = None) -> Backup:
    """Copy the vault as it is at one moment, while others go on writing, into one file, and verify that file.

    It appears whole and verified, with mode 0600, or not at all. It is unlocked by what unlocked the vault then. A
    vault that is in no file is copied entry by entry.
    """
    engine.check_usable()
    if not isinstance(engine.store, SqliteStore):
        shown = _copied(engine, target, progress)
        return Backup(path=target, verification=shown, size=target.stat().st_size)
    with making(target) as file:
        for _ in range(ATTEMPTS):
            engine.store.copy_to(file)
            copy = SqliteStore(file, ballast=False)
            try:
                with same_keys(engine, copy) as again:
                    if again is not None:
                        shown = agreed(verify(again, progress), "the backup")
                        break
            finally:
                copy.close()
            gone(file)
        else:
            raise VaultBusy("others kept changing the vault's keys; try again")
        size = file.stat().st_size
    return Backup(path=target, verification=shown, size=size)


def _copied(engine: Engine, target: Path, progress: Progress | None) -> Verification:
    for _ in range(ATTEMPTS):
        with engine.store.still() as store, same_keys(engine, store) as source:
            if source is not None:
                return migrate(source, target, progress).verification
    raise VaultBusy("others kept changing the vault's keys; try again")


def restore(
    source: Path,
    target: Place,
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
    check_free(target)
    if not isinstance(target, Path):
        with (
            TemporaryDirectory(prefix="ironsecrets-") as folder,
            _put_back(source, Path(folder) / "vault", credential, operator, checkpoint, witness, progress) as (
                engine,
                shown,
            ),
        ):
            migrate(engine, target, progress)
            return shown
    with making(target) as file, _put_back(source, file, credential, operator, checkpoint, witness, progress) as done:
        return done[1]


@contextmanager
def _put_back(
    source: Path,
    file: Path,
    credential: Credential,
    operator: Operator,
    checkpoint: str | None,
    witness: Witness | None,
    progress: Progress | None,
) -> Generator[tuple[Engine, Verification]]:
    """The backup in a new file, verified, with the restore in its log; open until the ``with`` ends."""
    SqliteStore.copy(source, file)
    store = SqliteStore(file, ballast=False)
    try:
        engine = unlock(store, credential, checkpoint=checkpoint)
        try:
            shown = agreed(verify(engine, progress), "the backup")
            if witness is not None:
                show(engine, witness)
            log = engine.state.log
            mark = Restore(entries=log.size, root=Digest(log.root().hex()))
            accepted(engine.perform(operator, lambda state, at: Success(Prepared(command=mark))))
            yield engine, shown
        finally:
            engine.close()
    finally:
        store.close()


def compact(engine: Engine) -> Compaction:
    """Rewrite the file without its free pages. Others wait meanwhile; nobody loses anything."""
    engine.check_usable()
    store = engine.store
    if not isinstance(store, SqliteStore):
        raise VaultError("compaction is for a vault in a file; a database server sees to its own space")
    with engine.lock:
        before, after, final = store.compact()
    return Compaction(before=before, after=after, final=final)
