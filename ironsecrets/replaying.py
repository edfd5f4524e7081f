"""Replay: the audit log through the same functions that decided.

Each entry is decoded strictly, its place and time are checked, and it is applied again: what was applied must
apply, what was refused must be refused for the same reason. The first entry where that fails is reported with
its sequence number, the rule, what was expected and what was found.
"""

from collections.abc import Iterable

import attrs
from returns.result import Failure, Result, Success

from ironsecrets.audit import AuditEntry, read_entry, request_of, settle
from ironsecrets.checkpoint import Checkpoint, vault_of
from ironsecrets.epochs import wrapped_under
from ironsecrets.frozen import evolve
from ironsecrets.identifiers import SecretId
from ironsecrets.merkle import leaf_hash
from ironsecrets.refusals import APPLIED
from ironsecrets.secrets import Version
from ironsecrets.state import EMPTY, VaultState

CHUNK = 1024


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


@attrs.define
class Replayer:
    """Replays entries one by one, in the order of the log, from ``state`` on.

    The tree and the newest time are kept beside the state while it runs: no rule looks at them, and a copy of the
    state for each entry would cost as much as deciding it.
    """

    _state: VaultState
    _leaves: list[bytes] = attrs.field(factory=list[bytes], init=False)
    _size: int = attrs.field(init=False)
    _last_at: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._size, self._last_at = self._state.log.size, self._state.last_at

    @property
    def size(self) -> int:
        """How many entries the log has so far."""
        return self._size

    @property
    def current(self) -> VaultState:
        """The state so far, without the tree and the newest time: what decisions look at."""
        return self._state

    def state(self) -> VaultState:
        """The state after what was taken so far."""
        self._state = evolve(self._state, log=self._state.log.extend(self._leaves), last_at=self._last_at)
        self._leaves = []
        return self._state

    def take(self, raw: bytes) -> AuditEntry | Divergence:
        """Replay one more entry: what it says, or how it diverges, which ends the replay.

        Rules: ``canonical``, ``sequence``, ``time``, ``principal``, ``verdict``.
        """
        seq = self._size
        entry = read_entry(raw)
        if isinstance(entry, str):
            return Divergence(rule="canonical", seq=seq, expected="a well-formed entry", found=entry)
        if entry.seq != seq:
            return Divergence(rule="sequence", seq=seq, expected=str(seq), found=str(entry.seq))
        if entry.at < self._last_at:
            return Divergence(rule="time", seq=seq, expected=f"at least {self._last_at}", found=str(entry.at))
        request = request_of(entry)
        if request is None:
            fit = "an operator, viewer or agent"
            return Divergence(rule="principal", seq=seq, expected=fit, found="fields that do not fit together")
        after, _, refusal = settle(self._state, request)
        verdict = APPLIED if refusal is None else refusal.code
        if verdict != entry.verdict:
            return Divergence(rule="verdict", seq=seq, expected=verdict, found=entry.verdict)
        self._state, self._last_at, self._size = after, entry.at, seq + 1
        self._leaves.append(leaf_hash(raw))
        if len(self._leaves) >= CHUNK:
            self.state()
        return entry


def step(state: VaultState, raw: bytes) -> Result[VaultState, Divergence]:
    """The state after one more entry, or how the entry diverges: :meth:`Replayer.take`."""
    return replay((raw,), state)


def replay(entries: Iterable[bytes], state: VaultState = EMPTY) -> Result[VaultState, Divergence]:
    """The state after ``entries``, starting at ``state`` (a snapshot, or nothing), or the first divergence."""
    replayer = Replayer(state)
    for raw in entries:
        taken = replayer.take(raw)
        if isinstance(taken, Divergence):
            return Failure(taken)
    return Success(replayer.state())


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
