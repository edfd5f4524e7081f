"""Reading what is in the tables of a vault: entries, archives, records."""

from collections.abc import Iterator, Sequence
from typing import Any, LiteralString

from interpreters.postgres.session import Session
from interpreters.postgres.writing import split
from interpreters.store import Archived, RecordKey, StoredEntry
from ironsecrets.errors import IntegrityError
from ironsecrets.identifiers import SecretId
from ironsecrets.sealing import SealedRecord, Wrap

PAGE = 500
KEPT = 256


class Reads:
    """The half of a store that asks for no more than what was committed."""

    def __init__(self, session: Session) -> None:
        self._of = session
        # What was read of records since anybody else has committed.
        self._records: dict[RecordKey, SealedRecord] = {}

    def forget(self) -> None:
        """Read records anew: they may have changed."""
        self._records.clear()

    def entries(self, start: int, stop: int | None = None) -> Iterator[StoredEntry]:
        query: LiteralString = (
            "SELECT seq, request, sealed FROM {s}.entries WHERE vault = %s AND seq >= %s AND seq < %s ORDER BY seq"
        )
        at = start
        while stop is None or at < stop:
            until = at + PAGE if stop is None else min(stop, at + PAGE)
            rows = self._of.rows(query, at, until)
            for expected, (seq, tag, sealed) in enumerate(rows, at):
                if seq != expected:
                    raise IntegrityError(f"entry {expected} is missing")
                yield StoredEntry(tag=tag, sealed=sealed)
            at += len(rows)
            if at < until:
                beyond: LiteralString = "SELECT 1 FROM {s}.entries WHERE vault = %s AND seq >= %s LIMIT 1"
                if stop is not None or self._of.rows(beyond, at):
                    raise IntegrityError(f"entry {at} is missing")
                return

    def archives(self) -> Sequence[Archived]:
        rows = self._of.rows("SELECT start, stop, leaves FROM {s}.archives WHERE vault = %s ORDER BY start")
        return [Archived(start=start, stop=stop, leaves=leaves) for start, stop, leaves in rows]

    def oldest(self) -> int:
        return self._of.rows("SELECT coalesce(max(stop), 0) FROM {s}.archives WHERE vault = %s")[0][0]

    def record(self, secret: SecretId, version: int) -> SealedRecord | None:
        known = self._records.get((secret, version))
        if known is not None:
            return known
        query: LiteralString = (
            "SELECT secret, version, epoch, wrap, body FROM {s}.records"
            " WHERE vault = %s AND secret = %s AND version = %s"
        )
        for row in self._of.rows(query, secret, version):
            if len(self._records) < KEPT:
                self._records[secret, version] = _record(row)
            return _record(row)
        return None

    def wraps(self, keys: Sequence[RecordKey]) -> Sequence[Wrap]:
        query: LiteralString = (
            "SELECT r.secret, r.version, r.epoch, r.wrap FROM {s}.records r"
            " JOIN unnest(%s::text[], %s::bigint[]) AS k (secret, version)"
            " ON r.secret = k.secret AND r.version = k.version WHERE r.vault = %s"
        )
        made, given = self._of.query(query), (*split(keys), self._of.location.vault)
        rows = self._of.read(lambda link: link.execute(made, given, binary=True).fetchall())
        return [Wrap(secret=SecretId(one[0]), version=one[1], epoch=one[2], wrap=one[3]) for one in rows]

    def records(self) -> Iterator[SealedRecord]:
        query: LiteralString = (
            "SELECT secret, version, epoch, wrap, body FROM {s}.records"
            " WHERE vault = %s AND (secret, version) > (%s, %s) ORDER BY secret, version LIMIT %s"
        )
        last = ("", 0)
        while rows := self._of.rows(query, *last, PAGE):
            yield from map(_record, rows)
            last = (rows[-1][0], rows[-1][1])


def _record(row: Any) -> SealedRecord:
    secret, version, epoch, wrap, body = row
    return SealedRecord(secret=SecretId(secret), version=version, epoch=epoch, wrap=wrap, body=body)
