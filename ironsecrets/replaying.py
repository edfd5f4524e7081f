"""Replay: the audit log through the same functions that decided.

Each entry is decoded strictly, its place and time are checked, and it is applied again: what was applied must
apply, what was refused must be refused for the same reason. The first entry where that fails is reported with
its sequence number, the rule, what was expected and what was found.
"""

from collections.abc import Iterable

import attrs
from returns.result import Failure, Result, Success

from ironsecrets.audit import AuditEntry, decode_entry, recorded, request_of, settle
from ironsecrets.checkpoint import Checkpoint, vault_of
from ironsecrets.epochs import wrapped_under
from ironsecrets.identifiers import SecretId
from ironsecrets.refusals import APPLIED
from ironsecrets.secrets import Version
from ironsecrets.state import EMPTY, VaultState


@attrs.frozen(kw_only=True)
class Divergence:
    """The first place where the log, or the store, is not what it must be. ``seq`` is None beside the log."""

    rule: str
    seq: int | None
    expected: str
    found: str

    def line(self) -> str:
        """One line for people."""
        where = "" if self.seq is None else f"entry {self.seq}: "
        return f"{where}{self.rule}: expected {self.expected}, found {self.found}"


def step(state: VaultState, raw: bytes) -> Result[VaultState, Divergence]:
    """The state after one more entry, or how the entry diverges.

    Rules: ``canonical``, ``sequence``, ``time``, ``principal``, ``verdict``.
    """
    seq = state.log.size
    match decode_entry(raw):
        case Success(entry):
            return _replayed(state, raw, entry)
        case Failure(why):
            return Failure(Divergence(rule="canonical", seq=seq, expected="a well-formed entry", found=str(why)))
        case _:
            raise AssertionError


def _replayed(state: VaultState, raw: bytes, entry: AuditEntry) -> Result[VaultState, Divergence]:
    seq = state.log.size

    def diverges(rule: str, expected: object, found: object) -> Result[VaultState, Divergence]:
        return Failure(Divergence(rule=rule, seq=seq, expected=str(expected), found=str(found)))

    if entry.seq != seq:
        return diverges("sequence", seq, entry.seq)
    if entry.at < state.last_at:
        return diverges("time", f"at least {state.last_at}", entry.at)
    request = request_of(entry)
    if request is None:
        return diverges("principal", "an operator, viewer or agent", "fields that do not fit together")
    after, _, refusal = settle(state, request)
    verdict = APPLIED if refusal is None else refusal.code
    if verdict != entry.verdict:
        return diverges("verdict", verdict, entry.verdict)
    return Success(recorded(after, entry.at, raw))


def replay(entries: Iterable[bytes], state: VaultState = EMPTY) -> Result[VaultState, Divergence]:
    """The state after ``entries``, starting at ``state`` (a snapshot, or nothing)."""
    for raw in entries:
        match step(state, raw):
            case Success(after):
                state = after
            case Failure(divergence):
                return Failure(divergence)
            case _:
                raise AssertionError
    return Success(state)


def verify_log(entries: Iterable[bytes], checkpoint: Checkpoint) -> Result[VaultState, Divergence]:
    """Replay a whole exported log and hold it against the checkpoint that was signed for it.

    Rules: those of :func:`step`, ``size``, ``root`` and ``vault``.
    """

    def held(state: VaultState) -> Result[VaultState, Divergence]:
        size, root = state.log.size, state.log.root()
        if size != checkpoint.size:
            return _beside("size", f"{checkpoint.size} entries, as the checkpoint says", f"{size} entries")
        if root != checkpoint.root:
            return _beside("root", "the checkpoint's root hash", "entries that were changed")
        if state.vault != (vault_of(checkpoint.origin) or "") and size:
            return _beside("vault", "the vault that the checkpoint names", "the log of another vault")
        return Success(state)

    return replay(entries).bind(held)


def _beside(rule: str, expected: str, found: str) -> Result[VaultState, Divergence]:
    return Failure(Divergence(rule=rule, seq=None, expected=expected, found=found))


def records_of(state: VaultState) -> dict[tuple[SecretId, int], tuple[Version, int]]:
    """The versions whose sealed records a store in this state holds, by secret id and number."""
    return {
        (secret.id, version.number): (
            version,
            wrapped_under(state.epochs, state.rewrapped, secret.id, version),
        )
        for secret in state.secrets.by_id.values()
        for version in secret.versions
        if version.destroyed_at is None
    }
