"""The in-memory store: the smallest thing that obeys the laws of a store, for tests and for hosts without a disk."""

import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import attrs

from interpreters.store import Archived, Batch, Image, RecordKey, Store, StoredEntry
from ironsecrets.errors import IntegrityError
from ironsecrets.identifiers import SecretId
from ironsecrets.sealing import SealedRecord, Wrap


class MemoryStore:
    """Keeps a vault for as long as the object lives. Several vaults in one process may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leader = threading.Lock()
        self._image: Image | None = None
        self._entries: list[StoredEntry] = []
        self._tags: dict[bytes, int] = {}
        self._records: dict[RecordKey, SealedRecord] = {}
        self._commits = 0
        self._archives: list[Archived] = []

    def load(self) -> Image | None:
        return self._image

    def head(self) -> bytes:
        return b"" if self._image is None else self._image.head

    def stamp(self, *, fresh: bool = False) -> int:
        return self._commits

    def commit(self, batch: Batch) -> bool:
        with self._lock:
            if self.oldest() + len(self._entries) != batch.expected_size:
                return False
            self._image = self._changed(batch)
            for number, entry in enumerate(batch.entries, batch.expected_size):
                self._tags[entry.tag] = number
            self._entries += batch.entries
            self._records.update({(kept.secret, kept.version): kept for kept in batch.keep})
            for key in batch.erase:
                self._records.pop(key, None)
            for new in batch.rewrap:
                old = self._records[new.secret, new.version]
                self._records[new.secret, new.version] = attrs.evolve(old, epoch=new.epoch, wrap=new.wrap)
            if batch.archive is not None:
                at = batch.archive.stop - self.oldest()
                for entry in self._entries[:at]:
                    del self._tags[entry.tag]
                self._entries = self._entries[at:]
                self._archives.append(batch.archive)
            self._commits += 1
            return True

    def _changed(self, batch: Batch) -> Image | None:
        header, mac = batch.header or (
            (b"", b"") if self._image is None else (self._image.header, self._image.header_mac)
        )
        image = self._image or Image(header=header, header_mac=mac, head=b"", snapshot=None)
        return attrs.evolve(
            image,
            header=header,
            header_mac=mac,
            head=image.head if batch.head is None else batch.head,
            snapshot=image.snapshot if batch.snapshot is None else batch.snapshot,
            base=image.base if batch.base is None else batch.base,
        )

    def entries(self, start: int, stop: int | None = None) -> Iterator[StoredEntry]:
        first, entries = self.oldest(), self._entries
        if start < first:
            raise IntegrityError(f"entry {start} is missing")
        yield from entries[start - first : None if stop is None else stop - first]

    def archives(self) -> Sequence[Archived]:
        return tuple(self._archives)

    def oldest(self) -> int:
        return self._archives[-1].stop if self._archives else 0

    def find(self, tag: bytes) -> int | None:
        return self._tags.get(tag)

    def record(self, secret: SecretId, version: int) -> SealedRecord | None:
        return self._records.get((secret, version))

    def wraps(self, keys: Sequence[RecordKey]) -> Sequence[Wrap]:
        found = (self._records[key] for key in keys if key in self._records)
        return [Wrap(secret=one.secret, version=one.version, epoch=one.epoch, wrap=one.wrap) for one in found]

    def records(self) -> Iterator[SealedRecord]:
        yield from list(self._records.values())

    def settle(self) -> bool:
        return True

    def still(self) -> AbstractContextManager[Store]:
        view = MemoryStore()
        with self._lock:
            view._image, view._commits = self._image, self._commits
            view._entries, view._archives = list(self._entries), list(self._archives)
            view._tags, view._records = dict(self._tags), dict(self._records)
        return nullcontext(view)

    def turn(self) -> AbstractContextManager[None]:
        return nullcontext()

    @contextmanager
    def lead(self) -> Generator[bool]:
        held = self._leader.acquire(blocking=False)
        try:
            yield held
        finally:
            if held:
                self._leader.release()

    def close(self) -> None:
        """Nothing to let go of: the vault stays for whoever opens it next."""
