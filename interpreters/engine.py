"""The shell: catches up, completes, decides, commits, and only then lets anything out.

One engine holds one unlocked vault on one store. Deciding is pure, so a conflict with another process is
settled by catching up and deciding again. A commit whose fate is unknown is settled by looking for its request.
"""

import os
import threading
from collections.abc import Iterator

import attrs
from returns.result import Failure, Result, Success

from interpreters.custody import Custody, opened
from interpreters.locked_memory import allocate, guarded
from interpreters.outcome import Ask, Outcome, Prepare, Prepared
from interpreters.sinks import Sinks
from interpreters.store import Batch, Store, StoredEntry
from interpreters.unsealed import caught_up, found, plain_entries
from interpreters.world import Clock, Entropy
from ironsecrets import leases as leasing
from ironsecrets.at_rest import (
    decode_head,
    encode_head,
    request_tag,
    seal_entry,
    seal_snapshot,
)
from ironsecrets.audit import AuditEntry, Decision, decide, decode_entry
from ironsecrets.catalogue import REFUSALS
from ironsecrets.drafts import DRAW_BYTES, Draft, complete
from ironsecrets.effects import EraseRecord, KeepRecord, Reveal, WriteHeader
from ironsecrets.epochs import OpenEpoch, RetireEpoch, Rewrap
from ironsecrets.errors import IntegrityError, StoreUnavailable, VaultBusy, VaultClosed
from ironsecrets.header import Header, decode_header, header_digest
from ironsecrets.identifiers import Digest, LeaseId, RequestId, SecretId
from ironsecrets.keyring import Keys
from ironsecrets.principals import Agent, Principal
from ironsecrets.refusals import APPLIED, Refusal
from ironsecrets.rotation import CreatePending
from ironsecrets.sealing import SALT_BYTES, open_value
from ironsecrets.secrets import Put, answering, readable
from ironsecrets.sensitive import Sensitive
from ironsecrets.slots import AddSlot, ChangeSlot, Rekey, RemoveSlot
from ironsecrets.snapshot import due
from ironsecrets.state import VaultState
from ironsecrets.vault import Request

ATTEMPTS = 1000
NARROWING = frozenset(
    {
        "revoke",
        "revoke-agent",
        "revoke-all",
        "revoke-lease",
        "release",
        "suspend",
        "remove",
        "destroy",
        "erase",
        "delete",
        "seal",
        "decline-request",
        "rotation-abort",
        "rotation-aborted",
        "rotation-fail",
    }
)
NO_RECORD = Refusal("no-record", "that command needs more than the log holds; a draft or a method prepares it")
_NEED_MORE = (Put, CreatePending, OpenEpoch, Rewrap, RetireEpoch, AddSlot, RemoveSlot, ChangeSlot, Rekey)
MALFORMED = Refusal("malformed-command", "the command holds a field that no entry may hold")


@attrs.define(eq=False)
class Engine:
    """An unlocked vault on a store. Thread-safe: one command at a time, in the order of the lock."""

    store: Store
    keys: Keys = attrs.field(repr=False)
    header: Header = attrs.field(repr=False)
    state: VaultState = attrs.field(repr=False)
    snapshot_size: int
    clock: Clock
    entropy: Entropy
    sinks: Sinks
    lock: threading.RLock = attrs.field(factory=threading.RLock, repr=False)
    custody: Custody = attrs.field(factory=Custody, repr=False)
    _pid: int = attrs.field(factory=os.getpid)
    _stamp: int | None = None
    _latest: int = 0
    _closed: bool = False

    def check_usable(self) -> None:
        """Raise :class:`VaultClosed` after a close or in a forked child."""
        if self._pid != os.getpid():
            raise VaultClosed("this vault was opened before a fork; open it again in this process")
        if self._closed:
            raise VaultClosed("this vault is closed; open it again")

    def now(self) -> int:
        """The time for a decision, which never runs backwards."""
        self._latest = max(self.clock.now(), self.state.last_at, self._latest)
        return self._latest

    def catch_up(self) -> None:
        """Take in what other processes have appended, through the same replay as an auditor's."""
        stamp = self.store.stamp()
        if stamp == self._stamp:
            return
        head = found(decode_head(self.keys, self.header.vault, self.store.head()))
        if head.size < self.state.log.size:
            raise IntegrityError("the log is shorter than it was: the store was put back to an older copy")
        before = self.state.header
        self.state = caught_up(self.state, self.plain_entries(self.state.log.size, head.size), head)
        self._follow_header(before)
        self._stamp = stamp

    def plain_entries(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The plain bytes of entries, as they were written and hashed."""
        return plain_entries(self.store, self.keys, self.header.vault, start, stop)

    def execute(self, principal: Principal, ask: Ask, request: RequestId | None = None) -> Result[Outcome, Refusal]:
        """Decide and record one command, perform its effects, and hand over what it discloses."""
        return self.perform(principal, lambda state, at: self._prepared(at, ask), request)

    def perform(
        self, principal: Principal, prepare: Prepare, request: RequestId | None = None
    ) -> Result[Outcome, Refusal]:
        """Decide and record what ``prepare`` makes of the state, and make it again after each conflict."""
        self.check_usable()
        with self.lock:
            self.check_usable()
            self.catch_up()
            if request is not None:
                repeated = self._repeated(request)
                if repeated is not None:
                    return repeated
            request_id = request or RequestId("rq_" + self.entropy.draw(16).hex())
            for _ in range(ATTEMPTS):
                result = self._attempt(principal, prepare, request_id)
                if result is not None:
                    self._after()
                    return result
                self._after_conflict()
            raise VaultBusy("others kept writing to the vault; try again")

    def _after_conflict(self) -> None:
        size = self.state.log.size
        self._stamp = None
        self.catch_up()
        if self.state.log.size == size:
            raise IntegrityError("the store holds an entry beyond the head of the log")

    def _attempt(
        self, principal: Principal, prepare: Prepare, request_id: RequestId
    ) -> Result[Outcome, Refusal] | None:
        at = self.now()
        match prepare(self.state, at):
            case Success(prepared):
                pass
            case Failure(refusal):
                return Failure(refusal)
            case _:
                raise AssertionError
        request = Request(at=at, command=prepared.command, id=request_id, principal=principal)
        match self._decided(request):
            case None:
                return Failure(MALFORMED)
            case decision:
                pass
        if not self._commit(request, decision, prepared):
            return None
        if decision.refusal is not None:
            return Failure(decision.refusal)
        if prepared.header is not None:
            self._adopt(prepared.header.header)
        return self._outcome(request, decision, prepared)

    def _decided(self, request: Request) -> Decision | None:
        # What we write must be what an auditor can read: a caller's ill-typed field is found here.
        try:
            decision = decide(self.state, request)
        except (TypeError, AttributeError, ValueError):
            return None
        match decode_entry(decision.entry):
            case Success(entry) if entry.command == request.command:
                return decision
            case _:
                return None

    def _prepared(self, at: int, ask: Ask) -> Result[Prepared, Refusal]:
        if isinstance(ask, Draft):
            try:
                completed = complete(self.state, self.keys, at, ask, self.entropy.draw(DRAW_BYTES))
            except (TypeError, AttributeError, ValueError):
                return Failure(MALFORMED)
            return completed.map(lambda made: Prepared(command=made.command, record=made.record, shown=made.shown))
        # What these need beside the log, only the methods for them prepare.
        return Failure(NO_RECORD) if isinstance(ask, _NEED_MORE) else Success(Prepared(command=ask))

    def _adopt(self, header: Header) -> None:
        self.header = header
        found(self.keys.follow(header))

    def _follow_header(self, before: Digest) -> None:
        """After others changed the header: take in what it holds now."""
        if self.state.header == before:
            return
        image = self.store.load()
        if image is None or header_digest(image.header) != self.state.header:
            raise IntegrityError("the header is not the one that the log knows")
        header = decode_header(image.header).unwrap()
        if header.root_generation != self.keys.generation and any(
            self.keys.epoch(epoch.number) is None for epoch in header.epochs
        ):
            raise VaultClosed("the root key was replaced; open the vault again")
        self._adopt(header)

    def _commit(self, request: Request, decision: Decision, prepared: Prepared) -> bool:
        vault = self.header.vault
        size = self.state.log.size
        tag = request_tag(self.keys, request.id)
        applied = decision.refusal is None
        keeps = any(isinstance(effect, KeepRecord) for effect in decision.effects)
        batch = Batch(
            expected_size=size,
            entries=(
                StoredEntry(
                    tag=tag,
                    sealed=seal_entry(self.keys, vault, size, decision.entry, self.entropy.draw(SALT_BYTES)),
                ),
            ),
            head=encode_head(self.keys, vault, decision.state.log),
            header=None if not applied or prepared.header is None else (prepared.header.raw, prepared.header.mac),
            keep=(prepared.record,) if prepared.record is not None and keeps else (),
            rewrap=prepared.rewrap if applied else (),
            erase=tuple((e.secret, e.version) for e in decision.effects if isinstance(e, EraseRecord)),
            urgent=request.command.type in NARROWING,
        )
        try:
            if not self.store.commit(batch):
                return False
        except StoreUnavailable:
            if not self._was_kept(tag):
                raise
            self._stamp = None
            self.catch_up()
            return True
        self.state = decision.state
        return True

    def _was_kept(self, tag: bytes) -> bool:
        self._stamp = None
        try:
            return self.store.find(tag) is not None
        except StoreUnavailable:
            return False

    def _outcome(self, request: Request, decision: Decision, prepared: Prepared) -> Result[Outcome, Refusal]:
        disclosed, shown_version, erased = prepared.shown, None, None
        for effect in decision.effects:
            match effect:
                case Reveal(secret, version, _):
                    match self.open_record(secret, version):
                        case Success(value):
                            disclosed, shown_version = value, version
                        case Failure(refusal):
                            return Failure(refusal)
                        case _:
                            raise AssertionError
                case EraseRecord() | WriteHeader():
                    erased = False
                case _:
                    pass
        if erased is False:
            erased = self.store.settle()
        return Success(
            Outcome(
                command=request.command,
                seq=decision.state.log.size - 1,
                at=request.at,
                request=request.id,
                disclosed=disclosed,
                version=shown_version,
                erased=erased,
            )
        )

    def open_record(self, secret: SecretId, number: int) -> Result[Sensitive, Refusal]:
        """The value of one version. A record that another process has just destroyed is refused, not missed."""
        record = self.store.record(secret, number)
        if record is None:
            self._stamp = None
            self.catch_up()
        owner = self.state.secrets.by_id.get(secret)
        if owner is None:
            return Failure(REFUSALS["no-secret"])
        match readable(owner, number):
            case Success(version):
                pass
            case Failure(refusal):
                return Failure(refusal)
            case _:
                raise AssertionError
        if record is None:
            raise IntegrityError(f"sealed record {secret} version {number} is missing")
        epoch_key = self.keys.epoch(record.epoch)
        if epoch_key is None:
            raise IntegrityError(f"sealed record {secret} version {number} names an unknown epoch")
        value = open_value(
            record, vault=self.header.vault, epoch_key=epoch_key, expected=version.digest, allocate=allocate
        )
        return Success(opened(guarded(found(value))))

    def use_lease(
        self, agent: Agent, lease_id: LeaseId, known_version: int
    ) -> Result[tuple[leasing.Lease, int, Sensitive | None], Refusal]:
        """The lease, the version that answers to its label, and the value unless ``known_version`` is that version.

        Looks at the store first, so a revocation by another process holds at once. Writes no entry: the lease
        has one.
        """
        self.check_usable()
        with self.lock:
            self.check_usable()
            self.catch_up()
            now = self.now()
            match leasing.live(self.state, now, agent, lease_id):
                case Success((lease, _, secret)):
                    pass
                case Failure(refusal):
                    return Failure(refusal)
                case _:
                    raise AssertionError
            if lease.label == "current" and secret.current == known_version:
                return Success((lease, known_version, None))
            match answering(secret, lease.label, now):
                case Success(version) if version.number == known_version:
                    return Success((lease, known_version, None))
                case Success(version):
                    number = version.number
                    return self.open_record(secret.id, number).map(lambda value: (lease, number, value))
                case Failure(refusal):
                    return Failure(refusal)
                case _:
                    raise AssertionError

    def _repeated(self, request: RequestId) -> Result[Outcome, Refusal] | None:
        seq = self.store.find(request_tag(self.keys, request))
        if seq is None:
            return None
        raw = next(self.plain_entries(seq, seq + 1))
        entry: AuditEntry = decode_entry(raw).unwrap()
        if entry.verdict != APPLIED:
            return Failure(REFUSALS[entry.verdict])
        return Success(Outcome(command=entry.command, seq=seq, at=entry.at, request=request, repeated=True))

    def _after(self) -> None:
        if due(self.state, self.snapshot_size):
            self.take_snapshot()
        self.sinks.pump(self.state.log.size, self.plain_entries)

    def take_snapshot(self) -> None:
        """Store the state as it is, so that the next open replays little. Failing to is no loss."""
        sealed = seal_snapshot(self.keys, self.state, self.entropy.draw(SALT_BYTES))
        size = self.state.log.size
        try:
            if self.store.commit(Batch(expected_size=size, snapshot=sealed)):
                self.snapshot_size = size
        except (StoreUnavailable, VaultBusy):
            self._stamp = None

    def close(self) -> None:
        """Wipe the keys and let go of the store. In a forked child, touch neither."""
        if self._closed or self._pid != os.getpid():
            return
        with self.lock:
            self._closed = True
            self.keys.wipe()
            self.store.close()
        # Without the lock: a lease that is being used holds its own and waits for ours.
        self.custody.close()
