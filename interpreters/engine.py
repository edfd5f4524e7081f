"""The shell: one unlocked vault on one store, kept up with what others append to it.

How a command becomes a durable entry, :mod:`interpreters.committing` says.
"""

import os
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import attrs
from returns.result import Failure, Result, Success

from interpreters.committing import ask, prepared, serve
from interpreters.custody import Custody
from interpreters.locked_memory import allocate, guarded
from interpreters.outcome import Ask, Outcome, Prepare
from interpreters.sinks import Sinks
from interpreters.store import Batch, Store
from interpreters.telemetry import told
from interpreters.unsealed import base_of, caught_up, found, plain_entries
from interpreters.waiting import Asked, Line
from interpreters.world import Clock, Entropy
from ironsecrets import leases as leasing
from ironsecrets.at_rest import (
    decode_head,
    request_tag,
    seal_snapshot,
)
from ironsecrets.audit import AuditEntry, decode_entry
from ironsecrets.catalogue import REFUSALS
from ironsecrets.errors import IntegrityError, StoreUnavailable, VaultBusy, VaultClosed
from ironsecrets.header import Header, decode_header, header_digest
from ironsecrets.identifiers import LeaseId, RequestId, SecretId
from ironsecrets.keyring import Keys
from ironsecrets.merkle import Frontier
from ironsecrets.principals import Agent, Principal
from ironsecrets.refusals import APPLIED, Refusal
from ironsecrets.sealing import SALT_BYTES, open_value
from ironsecrets.secrets import answering, readable
from ironsecrets.sensitive import Sensitive
from ironsecrets.snapshot import due
from ironsecrets.state import VaultState

TURNS = 32
ATTEMPTS = 5


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
    line: Line = attrs.field(factory=Line, repr=False)
    _pid: int = attrs.field(factory=os.getpid)
    _stamp: int | None = None
    _head: bytes = b""
    _latest: int = 0
    # How many commits more are made in turn, since there has been a conflict.
    _turns: int = 0
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

    def catch_up(self, *, fresh: bool = False) -> None:
        """Take in what other processes have appended, through the same replay as an auditor's.

        ``fresh`` leaves nothing out that a store may be late to tell.
        """
        stamp = self.store.stamp(fresh=fresh)
        if stamp == self._stamp:
            return
        raw = self.store.head()
        if raw == self._head:
            self._stamp = stamp
            return
        if self._head_of(raw).size < self.state.log.size:
            raise IntegrityError("the log is shorter than it was: the store was put back to an older copy")
        self.state, self._head = self._with_header(*self._read_on(raw))
        self._stamp = stamp

    def _head_of(self, raw: bytes) -> Frontier:
        return found(decode_head(self.keys, self.header.vault, raw))

    def _read_on(self, raw: bytes) -> tuple[VaultState, bytes]:
        """The state at the head ``raw``; a later one, where others have archived what this one had not seen yet."""
        state = self.state
        for left in reversed(range(ATTEMPTS)):
            head = self._head_of(raw)
            try:
                return caught_up(state, self.plain_entries(state.log.size, head.size), head), raw
            except IntegrityError:
                if not left or self.store.oldest() <= state.log.size:
                    raise
                image = self.store.load()
                assert image is not None
                state, raw = base_of(image, self.keys, self.header.vault), image.head
        raise AssertionError

    @contextmanager
    def beside(self, store: Store) -> "Generator[Engine]":
        """The same vault, as it is known now, on another store that has it, for whoever goes over all of it. Its keys
        are its own, since this one's may be retired meanwhile, and are wiped when the ``with`` ends."""
        keys = self.keys.twin()
        try:
            yield Engine(
                store=store,
                keys=keys,
                header=self.header,
                state=self.state,
                snapshot_size=self.snapshot_size,
                clock=self.clock,
                entropy=self.entropy,
                sinks=Sinks(()),
            )
        finally:
            keys.wipe()

    def plain_entries(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The plain bytes of entries, as they were written and hashed."""
        return plain_entries(self.store, self.keys, self.header.vault, start, stop)

    def execute(self, principal: Principal, given: Ask, request: RequestId | None = None) -> Result[Outcome, Refusal]:
        """Decide and record one command, perform its effects, and hand over what it discloses.

        Shares its commit with the commands of other threads that wait.
        """
        self.check_usable()
        asked = self._asked(principal, lambda state, at: prepared(self, state, at, given), request)
        with told(getattr(given, "type", type(given).__name__)) as telling:
            answer = ask(self, asked)
            telling.decided(answer)
            return answer

    def perform(
        self, principal: Principal, prepare: Prepare, request: RequestId | None = None
    ) -> Result[Outcome, Refusal]:
        """Decide and record what ``prepare`` makes of the state, and make it again after each conflict.

        In a commit of its own: it may look at the store and at the header, which do not know of what is decided and
        not yet committed.
        """
        self.check_usable()
        asked = self._asked(principal, prepare, request)
        with told("maintenance") as telling:
            with self.lock:
                serve(self, [asked])
            answer = asked.result()
            telling.decided(answer)
            return answer

    def _asked(self, principal: Principal, prepare: Prepare, request: RequestId | None) -> Asked:
        fresh = request or RequestId("rq_" + self.entropy.draw(16).hex())
        return Asked(principal, prepare, fresh, request is not None)

    def after_conflict(self) -> None:
        """Catch up with what another process has committed first."""
        if not self.refresh():
            raise IntegrityError("the store holds an entry beyond the head of the log")
        self._turns = TURNS

    def refresh(self) -> bool:
        """Catch up whatever the store's stamp says; whether there was anything to catch up with."""
        size = self.state.log.size
        self._stamp = None
        self.catch_up(fresh=True)
        return self.state.log.size != size

    def advance(self, state: VaultState, head: bytes) -> None:
        """Stand where a commit of our own has led: at ``state``, whose head the store holds as ``head``."""
        self.state, self._head = state, head

    def adopt(self, header: Header) -> None:
        """Take in a header that was stored."""
        self.header = header
        found(self.keys.follow(header))

    def _with_header(self, state: VaultState, raw: bytes) -> tuple[VaultState, bytes]:
        """The state and its head, after taking in the header that others have changed; later ones, where they have
        changed it once more."""
        if state.header == self.state.header:
            return state, raw
        image = self.store.load()
        if image is not None and header_digest(image.header) != state.header:
            # What is loaded is of one moment, so that its own head leads to its header.
            raw, head = image.head, self._head_of(image.head)
            state = caught_up(state, self.plain_entries(state.log.size, max(state.log.size, head.size)), head)
        if image is None or header_digest(image.header) != state.header:
            raise IntegrityError("the header is not the one that the log knows")
        header = decode_header(image.header).unwrap()
        if header.root_generation != self.keys.generation and any(
            self.keys.epoch(epoch.number) is None for epoch in header.epochs
        ):
            raise VaultClosed("the root key was replaced; open the vault again")
        self.adopt(header)
        return state, raw

    def was_kept(self, tag: bytes) -> bool:
        """Whether a commit that failed was made all the same: what has this request's tag is in the store."""
        try:
            return self.store.find(tag) is not None
        except StoreUnavailable:
            return False

    def open_record(self, secret: SecretId, number: int) -> Result[Sensitive, Refusal]:
        """The value of one version. A record that another process has just destroyed is refused, not missed."""
        record = self.store.record(secret, number)
        if record is None or self.keys.epoch(record.epoch) is None:
            # Others have destroyed it, or re-wrapped it under an epoch that is news, or was retired since it was read.
            self.refresh()
            record = self.store.record(secret, number)
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
        return Success(guarded(found(value)))

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
            found_live = leasing.live(self.state, now, agent, lease_id)
            if isinstance(found_live, Refusal) and self.refresh():
                found_live = leasing.live(self.state, now, agent, lease_id)
            if isinstance(found_live, Refusal):
                return Failure(found_live)
            lease, _, secret = found_live
            if lease.label == "current" and secret.current == known_version:
                return Success((lease, known_version, None))
            version = answering(secret, lease.label, now)
            if isinstance(version, Refusal):
                return Failure(version)
            number = version.number
            if number == known_version:
                return Success((lease, number, None))
            return self.open_record(secret.id, number).map(lambda value: (lease, number, value))

    def repeated(self, request: RequestId) -> Result[Outcome, Refusal] | None:
        """The answer to a request that was recorded before; None where it was not."""
        seq = self.store.find(request_tag(self.keys, request))
        if seq is None:
            return None
        raw = next(self.plain_entries(seq, seq + 1))
        entry: AuditEntry = decode_entry(raw).unwrap()
        if entry.verdict != APPLIED:
            return Failure(REFUSALS[entry.verdict])
        return Success(Outcome(command=entry.command, seq=seq, at=entry.at, request=request, repeated=True))

    def after(self) -> None:
        """What is due after a commit: a snapshot, and the sinks."""
        if due(self.state, self.snapshot_size):
            self.take_snapshot()
        self.sinks.pump(self.state.log.size, self.plain_entries)

    def take_snapshot(self) -> None:
        """Store the state as it is, so that the next open replays little. Failing to is no loss."""
        try:
            with self.in_turn():
                size = self.snapshot_size = self.state.log.size
                sealed = seal_snapshot(self.keys, self.state, self.entropy.draw(SALT_BYTES))
                self.store.commit(Batch(expected_size=size, snapshot=sealed))
        except (StoreUnavailable, VaultBusy):
            self._stamp = None

    @contextmanager
    def in_turn(self) -> Generator[None]:
        """After a conflict, have others wait for a few commits: whoever is always second would never come to any."""
        if not self._turns:
            yield
            return
        self._turns -= 1
        with self.store.turn():
            self.refresh()
            yield

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
