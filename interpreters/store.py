"""What a store is: a small protocol that keeps sealed bytes atomically and durably, and understands none of them.

Whoever writes a store implements :class:`Store` and runs ``pytest properties --store module:factory``.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import attrs

from ironsecrets.identifiers import SecretId
from ironsecrets.sealing import SealedRecord, Wrap

RecordKey = tuple[SecretId, int]


@attrs.frozen(kw_only=True)
class StoredEntry:
    """One sealed entry and the 16-byte tag of its request."""

    tag: bytes
    sealed: bytes


@attrs.frozen(kw_only=True)
class Image:
    """What is needed to open: the header with its MAC, the head of the log, the last snapshot, and ``base``, the
    snapshot where the entries begin, if older ones are archived."""

    header: bytes
    header_mac: bytes
    head: bytes
    snapshot: bytes | None
    base: bytes | None = None


@attrs.frozen(kw_only=True)
class Archived:
    """Entries number ``start`` up to but without ``stop``, of which a store keeps the sealed leaf hashes only."""

    start: int
    stop: int
    leaves: bytes


@attrs.frozen(kw_only=True)
class Batch:
    """One atomic, durable change, on condition that the log has ``expected_size`` entries.

    None and empty leave things as they are. ``archive`` replaces entries by what is kept of them, and ``base`` then
    is the snapshot of the state before the first that is left. ``urgent`` marks a change that only narrows access: a
    store that has no space left should find some for it. ``quiet`` marks one that concerns nobody but who asked,
    such as a lease: a store that tells other machines of changes need not tell of it.
    """

    expected_size: int
    entries: tuple[StoredEntry, ...] = ()
    header: tuple[bytes, bytes] | None = None
    head: bytes | None = None
    snapshot: bytes | None = None
    keep: tuple[SealedRecord, ...] = ()
    erase: tuple[RecordKey, ...] = ()
    rewrap: tuple[Wrap, ...] = ()
    urgent: bool = False
    quiet: bool = False
    archive: Archived | None = None
    base: bytes | None = None


class Store(Protocol):
    """Keeps a vault. Every method may raise a :class:`ironsecrets.VaultError` of the store's kind."""

    def load(self) -> Image | None:
        """The latest image, read at one moment; None where nothing was ever committed."""
        ...

    def head(self) -> bytes:
        """The head that belongs to the last stamp, or a later one."""
        ...

    def stamp(self, *, fresh: bool = False) -> int:
        """A number that differs from the last one after anybody has committed, through this object or another.

        Looked at before every use of a lease, so it should be cheap. What others have committed may go unnoticed for as
        long as the store's users have agreed to, unless ``fresh``; what this object has, never.
        """
        ...

    def commit(self, batch: Batch) -> bool:
        """Perform ``batch`` whole and durably and return True, or change nothing and return False where the log
        has another size than expected."""
        ...

    def entries(self, start: int, stop: int | None = None) -> Iterator[StoredEntry]:
        """Entries number ``start`` up to but without ``stop`` (None: all there are), in order. Asking for one that is
        archived raises :class:`ironsecrets.IntegrityError`."""
        ...

    def archives(self) -> Sequence[Archived]:
        """What is kept of archived entries, in order."""
        ...

    def oldest(self) -> int:
        """The number of the first entry that is not archived."""
        ...

    def find(self, tag: bytes) -> int | None:
        """The number of the entry with this request tag, or None."""
        ...

    def record(self, secret: SecretId, version: int) -> SealedRecord | None:
        """One sealed record, or None."""
        ...

    def wraps(self, keys: Sequence[RecordKey]) -> Sequence[Wrap]:
        """The wraps of these records, in any order; what is not there is left out."""
        ...

    def records(self) -> Iterator[SealedRecord]:
        """All sealed records, in any order."""
        ...

    def settle(self) -> bool:
        """Make erasures final (free pages, write-ahead log); False where an open read still hinders it, or the store
        has no way to."""
        ...

    def still(self) -> "AbstractContextManager[Store]":
        """Another view of the same vault, which stays as it is now until the ``with`` ends, and takes no commits: for
        whoever goes over all of it while others go on writing."""
        ...

    def turn(self) -> AbstractContextManager[None]:
        """For the length of the ``with``, or until this object has committed, others' commits wait, if the store can
        have it so. Whoever always comes second needs it; deciding within finds nobody in between."""
        ...

    def lead(self) -> AbstractContextManager[bool]:
        """Whether the caller may drive rotations, until the ``with`` ends: False, at once, while anybody else may,
        through this object or another."""
        ...

    def close(self) -> None:
        """Let go of everything. Closing twice is no error."""
        ...
