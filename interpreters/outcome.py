"""What an engine is asked for, and what it gives back."""

import attrs

from ironsecrets.drafts import Draft
from ironsecrets.identifiers import RequestId
from ironsecrets.sensitive import Sensitive
from ironsecrets.vault import Command

Ask = Command | Draft


@attrs.frozen(kw_only=True)
class Outcome:
    """An applied command: the command as it stands in the log, its entry's number and time, and what it gave.

    ``disclosed`` is the value that was read or leased (its version is ``version``), or the token that was made;
    it shows itself to nobody and belongs to the caller, who wipes it. ``erased`` is False where erased bytes may
    linger in the write-ahead log until a reader has finished. ``repeated`` marks a request that was applied before.
    """

    command: Command
    seq: int
    at: int
    request: RequestId
    disclosed: Sensitive | None = None
    version: int | None = None
    erased: bool | None = None
    repeated: bool = False


@attrs.frozen(kw_only=True)
class Verification:
    """What a whole verification has shown: so many entries replayed, so many records opened, this root."""

    entries: int
    records: int
    secrets: int
    root: bytes
