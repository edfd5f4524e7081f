"""What an engine is asked for, and what it gives back."""

from collections.abc import Callable

import attrs
from returns.result import Result

from interpreters.store import Archived
from ironsecrets.drafts import Draft
from ironsecrets.header import Header, encode_header, header_mac
from ironsecrets.identifiers import RequestId
from ironsecrets.refusals import Refusal
from ironsecrets.sealing import SealedRecord, Wrap
from ironsecrets.sensitive import Sensitive
from ironsecrets.state import VaultState
from ironsecrets.vault import Command

Ask = Command | Draft


@attrs.frozen(kw_only=True)
class NewHeader:
    """A header to be stored with its MAC."""

    header: Header
    raw: bytes
    mac: bytes


def new_header(mac_key: bytearray, header: Header) -> NewHeader:
    """``header`` with its canonical bytes and its MAC."""
    raw = encode_header(header)
    return NewHeader(header=header, raw=raw, mac=header_mac(mac_key, raw))


@attrs.frozen(kw_only=True)
class Prepared:
    """A command ready to be decided, with what its effects will need and the log must not hold."""

    command: Command
    record: SealedRecord | None = None
    shown: Sensitive | None = None
    rewrap: tuple[Wrap, ...] = ()
    header: NewHeader | None = None
    archive: Archived | None = None
    base: bytes | None = None


Prepare = Callable[[VaultState, int], Result[Prepared, Refusal]]
"""Makes a command for a state and a time. Called again when others changed the state meanwhile."""


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
    """What a whole verification has shown: of so many entries all but the ``archived`` first ones replayed, so many
    records opened, this root."""

    entries: int
    archived: int = 0
    records: int
    secrets: int
    root: bytes
