"""What happens to a log as a whole: its oldest entries are archived, and a vault is put back from a backup.

Archived entries leave the vault for a segment file. What they did stays: the state goes on from there, and the tree
keeps their leaf hashes, so that proofs and checkpoints hold as before. A restore is only a mark, so that an auditor
sees that, and where, the log went on from an older copy.
"""

from typing import Annotated, Literal

import attrs
import msgspec
from returns.result import Failure, Result, Success

from ironsecrets.identifiers import DigestField, Size
from ironsecrets.refusals import Refusal

BAD_ARCHIVE = Refusal("bad-archive", "an archive begins where the last one ended, and holds at least one entry")


@attrs.frozen(kw_only=True)
class Segment:
    """Entries ``start`` up to but without ``stop`` are in a file with this SHA-256 (of its lines, uncompressed)."""

    digest: DigestField
    start: Size
    stop: Size


Segments = Annotated[tuple[Segment, ...], msgspec.Meta(max_length=100_000)]


@attrs.frozen(kw_only=True)
class Archive:
    """Move the entries from ``start`` up to but without ``stop`` out of the vault, into the file of this digest."""

    digest: DigestField
    start: Size
    stop: Size
    type: Literal["archive"] = "archive"


@attrs.frozen(kw_only=True)
class Restore:
    """The vault was put back from a backup that held ``entries`` entries with this root hash."""

    entries: Size
    root: DigestField
    type: Literal["restore"] = "restore"


def archived(segments: tuple[Segment, ...]) -> int:
    """How many entries are archived: the number of the first that is not."""
    return segments[-1].stop if segments else 0


def archive(segments: tuple[Segment, ...], command: Archive) -> Result[tuple[Segment, ...], Refusal]:
    """Refusals: ``bad-archive``."""
    if command.start != archived(segments) or command.stop <= command.start:
        return Failure(BAD_ARCHIVE)
    return Success((*segments, Segment(digest=command.digest, start=command.start, stop=command.stop)))
