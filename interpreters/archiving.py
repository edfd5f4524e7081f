"""Archiving: the oldest entries of a log move into segment files, and are held against the log from there.

A segment is two files: ``segment-START-STOP.jsonl.zst``, the entries as an export has them, compressed with Zstandard
(RFC 8878), and ``segment-START-STOP.checkpoint``, the signed checkpoint of the log at STOP entries. Whoever has all
segments from the first one verifies and replays them without the vault. They are as secret as an export.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import attrs
import zstandard
from returns.result import Failure, Result, Success

from interpreters.conversions import accepted
from interpreters.engine import Engine
from interpreters.files import make_folder, write_private
from interpreters.outcome import Prepared
from interpreters.proof import Progress, base_state, leaves_of, note_at, verifier_key
from interpreters.store import Archived
from ironsecrets.at_rest import seal_leaves, seal_snapshot
from ironsecrets.audit import decode_entry
from ironsecrets.checkpoint import Checkpoint, VerifierKey, verify_checkpoint
from ironsecrets.errors import (
    IntegrityError,
    Refused,
    StoreUnavailable,
    VaultBusy,
    VaultError,
    VaultExists,
    VaultNotFound,
)
from ironsecrets.identifiers import Digest
from ironsecrets.merkle import leaf_hash
from ironsecrets.principals import Operator
from ironsecrets.refusals import Refusal
from ironsecrets.replaying import Divergence, Replayer
from ironsecrets.retention import Archive, Segment, Segments
from ironsecrets.sealing import SALT_BYTES
from ironsecrets.state import VaultState

LINE_LIMIT = 64 * 1024 + 1
NOTHING = Refusal("nothing-to-archive", "no entry is that old, or all that are have been archived")
_NAME = re.compile(r"segment-([0-9]{12})-([0-9]{12})\.jsonl\.zst")


class Hashing(Protocol):
    """What hashlib makes."""

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""


@attrs.frozen(kw_only=True)
class SegmentFile:
    """One segment in a folder: entries ``start`` up to but without ``stop``."""

    path: Path
    start: int
    stop: int

    @property
    def note(self) -> Path:
        """Where the signed checkpoint of its end is."""
        return self.path.with_name(self.path.name.removesuffix(".jsonl.zst") + ".checkpoint")


def segment_files(folder: Path) -> list[SegmentFile]:
    """The segments in a folder, by their numbers."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise StoreUnavailable(f"{folder} cannot be read: {error.strerror}") from None
    found = [(name, matched) for name in names if (matched := _NAME.fullmatch(name))]
    return [SegmentFile(path=folder / name, start=int(m[1]), stop=int(m[2])) for name, m in found]


def lines_of(file: SegmentFile) -> Iterator[bytes]:
    """Its entries, one by one, in constant memory. A file that is no segment ends with :class:`IntegrityError`."""
    try:
        with file.path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as stream:
            rest = b""
            while chunk := stream.read(1 << 16):
                *whole, rest = (rest + chunk).split(b"\n")
                yield from whole
                if len(rest) > LINE_LIMIT:
                    raise IntegrityError(f"{file.path.name} holds a line that is no entry")
            if rest:
                raise IntegrityError(f"{file.path.name} ends in the middle of an entry")
    except zstandard.ZstdError:
        raise IntegrityError(f"{file.path.name} cannot be decompressed: it was changed or cut") from None
    except OSError as error:
        raise StoreUnavailable(f"{file.path} cannot be read: {error.strerror}") from None


@attrs.frozen(kw_only=True)
class Archiving:
    """What was archived: entries ``start`` up to but without ``stop``, and the segment's file."""

    start: int
    stop: int
    path: Path


def archive(
    engine: Engine, operator: Operator, *, before: int, folder: Path, progress: Progress | None = None
) -> Archiving:
    """Move all entries from before ``before`` (microseconds since the Unix epoch) into a new segment in ``folder``.

    The segment is written, synced and read back before the vault lets go of anything. Every configured sink must
    have them already. Refusals: ``nothing-to-archive``.
    """
    engine.check_usable()
    with engine.lock:
        engine.refresh()
        start = engine.state.archived
        try:
            return _archive(engine, operator, start, before, folder, progress)
        except IntegrityError:
            engine.refresh()
            if engine.state.archived == start:
                raise
            raise VaultBusy("another process has archived meanwhile; try again") from None


def _archive(
    engine: Engine, operator: Operator, start: int, before: int, folder: Path, progress: Progress | None
) -> Archiving:
    stop, base = _until(engine, start, before)
    if stop <= start:
        raise Refused(NOTHING)
    behind = [sink.name for sink in engine.sinks.status(engine.state.log.size) if sink.position < stop]
    if behind:
        raise VaultError(f"{behind[0]} is behind: entries that it has not taken are not archived")
    file = _segment(engine, folder, start, stop)
    digest, leaves = hashlib.sha256(), list[bytes]()
    write_private(file.path, _compressed(engine, start, stop, digest, leaves, progress))
    try:
        _read_back(file, digest.hexdigest())
        write_private(file.note, [note_at(engine, stop).encode()])
        write_private(folder / "verifier.key", [verifier_key(engine).text().encode() + b"\n"])
        command = Archive(digest=Digest(digest.hexdigest()), start=start, stop=stop)
        draw, vault = engine.entropy.draw, engine.header.vault
        kept = Archived(start=start, stop=stop, leaves=seal_leaves(engine.keys, vault, start, leaves, draw(SALT_BYTES)))
        prepared = Prepared(command=command, archive=kept, base=seal_snapshot(engine.keys, base, draw(SALT_BYTES)))
        accepted(engine.perform(operator, lambda state, at: Success(prepared)))
    except BaseException:
        for made in (file.path, file.note):
            with suppress(OSError):
                os.unlink(made)
        raise
    engine.store.settle()
    return Archiving(start=start, stop=stop, path=file.path)


def _segment(engine: Engine, folder: Path, start: int, stop: int) -> SegmentFile:
    make_folder(folder)
    path = folder / f"segment-{start:012}-{stop:012}.jsonl.zst"
    if os.path.lexists(path):
        raise VaultExists(f"{path} exists already; nothing was archived")
    return SegmentFile(path=path, start=start, stop=stop)


def _until(engine: Engine, start: int, before: int) -> tuple[int, VaultState]:
    replayer = Replayer(base_state(engine))
    for raw in engine.plain_entries(start, engine.state.log.size):
        if decode_entry(raw).unwrap().at >= before:
            break
        taken = replayer.take(raw)
        if isinstance(taken, Divergence):
            raise IntegrityError(taken.line())
    return replayer.size, replayer.state()


def _compressed(
    engine: Engine, start: int, stop: int, digest: Hashing, leaves: list[bytes], progress: Progress | None
) -> Iterator[bytes]:
    compressor = zstandard.ZstdCompressor(level=10, write_checksum=True).compressobj()
    for raw in engine.plain_entries(start, stop):
        leaves.append(leaf_hash(raw))
        digest.update(raw + b"\n")
        yield compressor.compress(raw + b"\n")
        if progress is not None and len(leaves) % 1000 == 0:
            progress(len(leaves), stop - start)
    yield compressor.flush()


def _read_back(file: SegmentFile, expected: str) -> None:
    digest = hashlib.sha256()
    for line in lines_of(file):
        digest.update(line + b"\n")
    if digest.hexdigest() != expected:
        raise StoreUnavailable(f"{file.path} does not read back as it was written; nothing was archived")


@attrs.frozen(kw_only=True)
class Shown:
    """What segment files show of a vault's archived entries, and what nobody can show any more.

    ``replayed`` entries from the first on were decided again. ``hashed`` ones are the log's, by their hashes, but stand
    behind a gap and cannot be decided again. ``missing`` lists what is in no file, as (start, stop).
    """

    replayed: int
    hashed: int
    missing: tuple[tuple[int, int], ...]


def _filed(known: Segments, folder: Path) -> Iterator[tuple[Segment, SegmentFile | None]]:
    """What the log knows to be archived, each with its file in ``folder``, where it is there."""
    files = {(file.start, file.stop): file for file in segment_files(folder)}
    return ((one, files.get((one.start, one.stop))) for one in known)


def check_segments(
    engine: Engine, folder: Path, leaves: list[bytes], progress: Progress | None = None
) -> Result[Shown, Divergence]:
    """Hold the segment files in ``folder`` against the vault's log."""
    known = engine.state.oversight.segments
    replayer: Replayer | None = Replayer(VaultState())
    hashed, missing = 0, list[tuple[int, int]]()
    for one, file in _filed(known, folder):
        if file is None:
            missing.append((one.start, one.stop))
            replayer = None
            continue
        digest = hashlib.sha256()
        for seq, raw in enumerate(lines_of(file), one.start):
            digest.update(raw + b"\n")
            if seq >= one.stop or leaf_hash(raw) != leaves[seq]:
                return _differs(seq, file, "entries as the log has them", "others")
            taken = None if replayer is None else replayer.take(raw)
            if isinstance(taken, Divergence):
                return Failure(taken)
            if progress is not None and seq % 1000 == 0:
                progress(seq, len(leaves))
        if digest.hexdigest() != one.digest:
            return _differs(one.start, file, "the file whose digest the log holds", "another one")
        hashed += one.stop - one.start if replayer is None else 0
    if replayer is not None and replayer.size and replayer.state() != base_state(engine):
        return Failure(
            Divergence(
                rule="base", seq=None, expected="the state that the archived entries lead to", found="another one"
            )
        )
    replayed = sum(one.stop - one.start for one in known) - hashed - sum(stop - start for start, stop in missing)
    return Success(Shown(replayed=replayed, hashed=hashed, missing=tuple(missing)))


def archived_entries(engine: Engine, folder: Path) -> Iterator[bytes]:
    """Every archived entry from the segment files in ``folder``, each held against the log's hash of it.

    Raises :class:`VaultNotFound` for a segment that is not there, :class:`IntegrityError` for one that was changed.
    """
    leaves = leaves_of(engine, engine.state.archived)
    for one, file in _filed(engine.state.oversight.segments, folder):
        if file is None:
            raise VaultNotFound(f"the segment of entries {one.start} to {one.stop - 1} is not in {folder}")
        seq = one.start
        for seq, raw in enumerate(lines_of(file), one.start):
            if seq >= one.stop or leaf_hash(raw) != leaves[seq]:
                raise IntegrityError(f"{file.path.name} differs from the log at entry {seq}")
            yield raw
        if seq != one.stop - 1:
            raise IntegrityError(f"{file.path.name} lacks entries from {seq + 1} on")


def _differs(seq: int, file: SegmentFile, expected: str, found: str) -> Result[Shown, Divergence]:
    return Failure(Divergence(rule=f"segment {file.path.name}", seq=seq, expected=expected, found=found))


def verify_segments(folder: Path, key: VerifierKey, progress: Progress | None = None) -> Result[Checkpoint, Divergence]:
    """Replay all segments of a folder, without the vault, and hold each against its signed checkpoint; the last one.

    They must begin with the first entry and leave none out.
    """
    replayer, last = Replayer(VaultState()), None
    for file in segment_files(folder):
        if file.start != replayer.size:
            found = f"a segment from entry {file.start} on"
            return Failure(Divergence(rule="segments", seq=replayer.size, expected="the next entry", found=found))
        try:
            note = file.note.read_bytes()[: 64 * 1024].decode("utf-8", "replace")
        except OSError as error:
            raise StoreUnavailable(f"{file.note} cannot be read: {error.strerror}") from None
        match verify_checkpoint(note, key):
            case Success(signed):
                last = signed
            case Failure(refusal):
                raise IntegrityError(f"{file.note.name}: {refusal.message}")
            case _:
                raise AssertionError
        for raw in lines_of(file):
            taken = replayer.take(raw)
            if isinstance(taken, Divergence):
                return Failure(taken)
            if progress is not None and replayer.size % 1000 == 0:
                progress(replayer.size, file.stop)
        log = replayer.state().log
        if (log.size, log.root()) != (last.size, last.root) or log.size != file.stop:
            expected = f"{last.size} entries with the root hash that is signed"
            found = f"{log.size} entries, or others"
            return Failure(Divergence(rule="segments", seq=file.stop - 1, expected=expected, found=found))
    if last is None:
        raise VaultNotFound(f"there is no segment in {folder}")
    return Success(last)
