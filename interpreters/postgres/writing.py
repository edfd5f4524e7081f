"""A batch as one statement: what stands in it happens where the log has the expected size, or nothing does.

Every part takes its rows from ``taken``, which holds one row where the head was as expected and none otherwise. Being
one statement it is one round trip, and a transaction by itself.
"""

from collections.abc import Sequence
from typing import Any, LiteralString

from interpreters.store import Batch, RecordKey

# Whether commits wait for a standby.
WAITS: LiteralString = "coalesce(current_setting('synchronous_standby_names', true), '') <> ''"
_FIRST: LiteralString = (
    "INSERT INTO {s}.heads AS h (vault, size, body) VALUES (%(vault)s, %(size)s, %(head)s)"
    " ON CONFLICT (vault) DO UPDATE SET size = excluded.size, body = excluded.body WHERE h.size = 0 RETURNING vault"
)
_NEXT: LiteralString = (
    "UPDATE {s}.heads SET size = %(size)s, body = coalesce(%(head)s, body)"
    " WHERE vault = %(vault)s AND size = %(expected)s RETURNING vault"
)
_ENTRIES: LiteralString = (
    "INSERT INTO {s}.entries (vault, seq, request, sealed)"
    " SELECT t.vault, %(expected)s + k.n - 1, k.request, k.sealed FROM taken t"
    " CROSS JOIN unnest(%(requests)s::bytea[], %(sealed)s::bytea[]) WITH ORDINALITY AS k (request, sealed, n)"
)
_HEADER: LiteralString = (
    "INSERT INTO {s}.headers (vault, body, mac) SELECT t.vault, %(header)s, %(mac)s FROM taken t"
    " ON CONFLICT (vault) DO UPDATE SET body = excluded.body, mac = excluded.mac"
)
_SNAPSHOT: LiteralString = (
    "INSERT INTO {s}.snapshots (vault, kind, sealed) SELECT t.vault, 'state', %(snapshot)s FROM taken t"
    " ON CONFLICT (vault, kind) DO UPDATE SET sealed = excluded.sealed"
)
_BASE: LiteralString = (
    "INSERT INTO {s}.snapshots (vault, kind, sealed) SELECT t.vault, 'base', %(base)s FROM taken t"
    " ON CONFLICT (vault, kind) DO UPDATE SET sealed = excluded.sealed"
)
_ARCHIVE: LiteralString = (
    "INSERT INTO {s}.archives (vault, start, stop, leaves) SELECT t.vault, %(start)s, %(stop)s, %(leaves)s FROM taken t"
)
_ARCHIVED: LiteralString = "DELETE FROM {s}.entries e USING taken t WHERE e.vault = t.vault AND e.seq < %(stop)s"
_KEEP: LiteralString = (
    "INSERT INTO {s}.records (vault, secret, version, epoch, wrap, body)"
    " SELECT t.vault, k.secret, k.version, k.epoch, k.wrap, k.body FROM taken t"
    " CROSS JOIN unnest(%(kept)s::text[], %(versions)s::bigint[], %(epochs)s::bigint[], %(wraps)s::bytea[],"
    " %(bodies)s::bytea[]) AS k (secret, version, epoch, wrap, body)"
)
_REWRAP: LiteralString = (
    "UPDATE {s}.records r SET epoch = k.epoch, wrap = k.wrap FROM taken t"
    " CROSS JOIN unnest(%(again)s::text[], %(again_versions)s::bigint[], %(again_epochs)s::bigint[],"
    " %(again_wraps)s::bytea[]) AS k (secret, version, epoch, wrap)"
    " WHERE r.vault = t.vault AND r.secret = k.secret AND r.version = k.version"
)
_ERASE: LiteralString = (
    "DELETE FROM {s}.records r USING taken t, unnest(%(erased)s::text[], %(erased_versions)s::bigint[])"
    " AS k (secret, version) WHERE r.vault = t.vault AND r.secret = k.secret AND r.version = k.version"
)


def statement(vault: str, batch: Batch) -> tuple[LiteralString, dict[str, Any]]:
    """The statement, with ``{s}`` where the schema goes, and its parameters. It returns how many rows were taken, and
    whether the server waits for a standby."""
    expected, size = batch.expected_size, batch.expected_size + len(batch.entries)
    parameters: dict[str, Any] = {"vault": vault, "expected": expected, "head": batch.head}
    first = expected == 0 and batch.head is not None
    parts: list[LiteralString] = ["WITH taken AS (", _FIRST if first else _NEXT]

    def also(name: LiteralString, text: LiteralString, **more: Any) -> None:
        parts.extend(("), ", name, " AS (", text))
        parameters.update(more)

    if batch.entries:
        tags, sealed = [one.tag for one in batch.entries], [one.sealed for one in batch.entries]
        also("entered", _ENTRIES, requests=tags, sealed=sealed)
    if batch.header is not None:
        also("headed", _HEADER, header=batch.header[0], mac=batch.header[1])
    if batch.snapshot is not None:
        also("snapped", _SNAPSHOT, snapshot=batch.snapshot)
    if batch.base is not None:
        also("based", _BASE, base=batch.base)
    if batch.archive is not None:
        size = max(size, batch.archive.stop)
        also("archived", _ARCHIVE, start=batch.archive.start, stop=batch.archive.stop, leaves=batch.archive.leaves)
        also("gone", _ARCHIVED)
    _records(batch, also)
    parameters["size"] = size
    return "".join((*parts, ") SELECT count(*), ", WAITS, " FROM taken")), parameters


def _records(batch: Batch, also: Any) -> None:
    # Parts of one statement do not see each other's rows: what is kept and erased by one batch is never written.
    gone = set(batch.erase)
    keep = [one for one in batch.keep if (one.secret, one.version) not in gone] if gone else batch.keep
    if keep:
        also(
            "kept",
            _KEEP,
            kept=[one.secret for one in keep],
            versions=[one.version for one in keep],
            epochs=[one.epoch for one in keep],
            wraps=[one.wrap for one in keep],
            bodies=[one.body for one in keep],
        )
    if batch.rewrap:
        also(
            "rewrapped",
            _REWRAP,
            again=[one.secret for one in batch.rewrap],
            again_versions=[one.version for one in batch.rewrap],
            again_epochs=[one.epoch for one in batch.rewrap],
            again_wraps=[one.wrap for one in batch.rewrap],
        )
    if batch.erase:
        secrets, versions = split(batch.erase)
        also("erased", _ERASE, erased=secrets, erased_versions=versions)


def split(keys: Sequence[RecordKey]) -> tuple[list[str], list[int]]:
    """Keys of records as two arrays."""
    return [key[0] for key in keys], [key[1] for key in keys]
