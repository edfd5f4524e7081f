"""The doctor: looks at everything about a vault that can be wrong, and says of each what to do."""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import attrs
from returns.result import Failure, Success

from interpreters.ballast import BALLAST_BYTES
from interpreters.conversions import moment
from interpreters.derivation import Credential, below_policy
from interpreters.engine import Engine
from interpreters.genesis import unlock
from interpreters.places import Place, open_store
from interpreters.postgres import needed
from interpreters.postgres.location import Location
from interpreters.proof import Progress, verify
from interpreters.sinks import Sink
from interpreters.sqlite_store import SqliteStore
from interpreters.world import SystemClock
from ironsecrets.epochs import due
from ironsecrets.errors import CannotUnlock, IntegrityError, NotAVault, VaultError, VaultNotFound

Verdict = Literal["ok", "warning", "broken"]
WAL_BYTES = 32 * 1024 * 1024
AHEAD = 60_000_000


@attrs.frozen(kw_only=True)
class Finding:
    """One check: what was found, in one line, and what to do about it."""

    check: str
    verdict: Verdict
    found: str
    advice: str = ""


def examine(
    place: Place,
    unlocking: Callable[[], Credential],
    *,
    sinks: Sequence[Sink] = (),
    progress: Progress | None = None,
) -> list[Finding]:
    """Every finding, from the outside in. What cannot be looked at ends the list with the reason."""
    findings = list(_file(place)) if isinstance(place, Path) else []
    try:
        store = open_store(place)
    except (VaultNotFound, NotAVault):
        raise
    except VaultError as error:
        if not isinstance(place, Path):
            raise
        return [*findings, _broken("database", error, "restore a backup; keep this file for an investigation")]
    try:
        if isinstance(store, SqliteStore):
            findings += _database(store)
        if isinstance(place, Location):
            findings += needed("interpreters.postgres.examining").examined(place)
        try:
            credential = unlocking()
            with credential.material:
                engine = unlock(store, credential, sinks=sinks)
        except CannotUnlock:
            raise
        except VaultError as error:
            return [*findings, _broken("open", error, "restore a backup; keep this file for an investigation")]
        try:
            findings += _log(engine, progress)
            findings += _keys(engine)
            findings += _watch(engine)
        finally:
            engine.close()
    finally:
        store.close()
    return findings


def _broken(check: str, error: VaultError, advice: str) -> Finding:
    if isinstance(error, IntegrityError):
        return Finding(check=check, verdict="broken", found=error.what, advice=advice)
    return Finding(check=check, verdict="broken", found=str(error), advice="mend that and ask again")


def _file(path: Path) -> Iterator[Finding]:
    if not path.exists():
        return
    real = Path(os.path.realpath(path))
    loose = [
        file.name
        for file in (real, *(Path(f"{real}{suffix}") for suffix in ("-wal", "-shm", "-ballast")))
        if file.exists() and file.stat().st_mode & 0o077
    ]
    if loose:
        names = " ".join(loose)
        yield Finding(
            check="permissions", verdict="warning", found=f"others may read {names}", advice=f"chmod 600 {names}"
        )
    else:
        yield Finding(check="permissions", verdict="ok", found="for the owner only")
    folder = real.parent.stat()
    if folder.st_mode & stat.S_IWOTH and not folder.st_mode & stat.S_ISVTX:
        yield Finding(
            check="folder",
            verdict="warning",
            found=f"everybody may write to {real.parent}, and so put another file in place",
            advice=f"chmod o-w {real.parent}",
        )
    system = os.statvfs(real.parent)
    free = system.f_bavail * system.f_frsize
    if free < 16 * BALLAST_BYTES:
        yield Finding(
            check="space",
            verdict="warning",
            found=f"{free // 1024} KiB are free",
            advice="free some: without space only revoking works",
        )
    ballast = Path(f"{real}-ballast")
    if not ballast.exists():
        yield Finding(
            check="ballast",
            verdict="warning",
            found="there is no space set aside for revoking on a full disk",
            advice="it comes back by itself with the next checkpoint, once there is space",
        )


def _database(store: SqliteStore) -> Iterator[Finding]:
    try:
        wrong = store.sound()
    except VaultError as error:
        yield _broken("database", error, "restore a backup; keep this file for an investigation")
        return
    if wrong:
        advice = "restore a backup; keep this file for an investigation"
        yield Finding(check="database", verdict="broken", found=f"{len(wrong)} faults: {wrong[0][:80]}", advice=advice)
    else:
        yield Finding(check="database", verdict="ok", found="SQLite's integrity_check and the schema")
    wal = Path(f"{os.path.realpath(store.path)}-wal")
    if wal.exists() and wal.stat().st_size > WAL_BYTES:
        yield Finding(
            check="write-ahead log",
            verdict="warning",
            found=f"{wal.stat().st_size // 2**20} MiB",
            advice="a reader keeps it from shrinking: find who holds the file open",
        )


def _log(engine: Engine, progress: Progress | None) -> Iterator[Finding]:
    match verify(engine, progress):
        case Success(shown):
            found = f"{shown.entries} entries replayed, {shown.records} records opened, MACs and digests agree"
            yield Finding(check="log and records", verdict="ok", found=found)
        case Failure(divergence):
            advice = "`audit verify --json` tells more; restore a backup, and keep this file for an investigation"
            yield Finding(check="log and records", verdict="broken", found=divergence.line(), advice=advice)
        case _:
            raise AssertionError


def _keys(engine: Engine) -> Iterator[Finding]:
    weak = [slot.id for slot in engine.header.slots if below_policy(slot.cost)]
    if weak:
        yield Finding(
            check="slots",
            verdict="warning",
            found=f"{', '.join(weak)}: Argon2id below today's default",
            advice="`slot change` gives it today's cost",
        )
    else:
        yield Finding(check="slots", verdict="ok", found=f"{len(engine.header.slots)}, at today's cost or raw keys")
    state = engine.state
    if len(state.epochs) > 1:
        advice = "`rotate-key` goes on with it"
        yield Finding(check="epochs", verdict="warning", found="a rotation was interrupted", advice=advice)
    reason = due(state.epochs, state.epoch_age, engine.now())
    if reason:
        yield Finding(check="epochs", verdict="warning", found=f"a new one is due ({reason})", advice="`rotate-key`")
    elif len(state.epochs) == 1:
        yield Finding(check="epochs", verdict="ok", found=f"{state.epoch()}, {state.epochs[-1].wraps} wraps")


def _watch(engine: Engine) -> Iterator[Finding]:
    state = engine.state
    for sink in engine.sinks.status(state.log.size):
        behind = sink.size - sink.position
        if behind or sink.error:
            yield Finding(
                check=f"sink {sink.name}",
                verdict="warning",
                found=f"{behind} entries behind{f' ({sink.error})' if sink.error else ''}",
                advice="mend what it writes to; it catches up by itself",
            )
        else:
            yield Finding(check=f"sink {sink.name}", verdict="ok", found="up to date")
    ahead = state.last_at - SystemClock().now()
    if ahead > AHEAD:
        yield Finding(
            check="clock",
            verdict="warning",
            found=f"the log is at {moment(state.last_at):%Y-%m-%d %H:%M}Z, ahead of this machine",
            advice="look at both clocks: until then time stands still for grants and leases",
        )
    if state.sealed is not None:
        advice = "`unseal` lets agents ask again"
        yield Finding(check="seal", verdict="warning", found="every agent is refused", advice=advice)
    glass = [one.id for one in state.grants.by_id.values() if one.reason is not None and one.live(engine.now())]
    if glass:
        found = f"{', '.join(glass)}: break-glass grants are live"
        yield Finding(check="grants", verdict="warning", found=found, advice="`revoke` them when the emergency is over")
