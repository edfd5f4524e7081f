"""From a command to a durable entry: complete, decide, commit, and only then let anything out.

Threads that wait for the store share its commits. Whoever gets the engine's lock serves all who wait: their commands
are decided one upon the other, their entries become durable in one transaction, and each gets its own answer after
it. A commit whose fate is unknown is settled by looking for its last request; a conflict with another process, by
catching up and deciding all of them again, since deciding is pure.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs
from returns.result import Failure, Result, Success

from interpreters.outcome import Ask, Outcome, Prepared
from interpreters.store import Batch, RecordKey, StoredEntry
from interpreters.telemetry import committed
from interpreters.waiting import Answer, Asked, Line
from ironsecrets.at_rest import encode_head, request_tag, seal_entry
from ironsecrets.audit import Decision, decide, read_entry
from ironsecrets.drafts import DRAW_BYTES, Draft, complete
from ironsecrets.effects import EraseRecord, KeepRecord, Reveal, WriteHeader
from ironsecrets.epochs import OpenEpoch, RetireEpoch, Rewrap
from ironsecrets.errors import StoreFull, StoreUnavailable, VaultBusy
from ironsecrets.refusals import Refusal
from ironsecrets.retention import Archive, Restore
from ironsecrets.rotation import CreatePending
from ironsecrets.sealing import SALT_BYTES, SealedRecord, Wrap
from ironsecrets.secrets import Put
from ironsecrets.slots import AddSlot, ChangeSlot, Rekey, RemoveSlot
from ironsecrets.state import VaultState
from ironsecrets.vault import Request

if TYPE_CHECKING:
    from interpreters.engine import Engine

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
QUIET = frozenset({"lease", "renew", "release"})
NO_RECORD = Refusal("no-record", "that command needs more than the log holds; a draft or a method prepares it")
MALFORMED = Refusal("malformed-command", "the command holds a field that no entry may hold")
_NEED_MORE = (
    Put,
    CreatePending,
    OpenEpoch,
    Rewrap,
    RetireEpoch,
    AddSlot,
    RemoveSlot,
    ChangeSlot,
    Rekey,
    Restore,
    Archive,
)


def ask(engine: "Engine", asked: Asked) -> Answer:
    """Have ``asked`` served, together with whoever else waits."""
    line = engine.line
    line.join(asked)
    try:
        _until_settled(engine, line, asked)
    except BaseException:
        # Interrupted: nobody waits for the answer any more.
        line.leave(asked)
        raise
    return asked.result()


def _until_settled(engine: "Engine", line: Line, asked: Asked) -> None:
    while not asked.settled:
        led = False
        # Succeeds for the lock's own holder too, who must not wait for anybody.
        if not engine.lock.acquire(blocking=False):
            led = line.lead()
            if not led:
                asked.wait()
                continue
            engine.lock.acquire()
        try:
            _serve_all(engine, line.take(led=led))
        finally:
            engine.lock.release()


def _serve_all(engine: "Engine", taken: list[Asked]) -> None:
    left: list[Asked] = taken
    try:
        while left:
            # One id is recorded once: who brings the same one again is served after it.
            first = {asked.request: asked for asked in reversed(left)}
            group = [asked for asked in left if first[asked.request] is asked]
            left = [asked for asked in left if first[asked.request] is not asked]
            serve(engine, group)
            for asked in group:
                asked.wake()
    finally:
        unserved = [asked for asked in taken if not asked.settled]
        if unserved:
            engine.line.put_back(unserved)
            for asked in unserved:
                asked.wake()


def serve(engine: "Engine", group: Sequence[Asked]) -> None:
    """Answer every one of ``group`` with one commit. The caller holds the engine's lock."""
    try:
        engine.check_usable()
        engine.catch_up()
        chosen = frozenset(asked.request for asked in group if asked.given)
        for _ in range(ATTEMPTS):
            with engine.in_turn():
                # Again after a conflict: what came first may have been the same request, from elsewhere or from before.
                for asked in group:
                    if asked.request in chosen:
                        asked.answer = engine.repeated(asked.request)
                group = [asked for asked in group if asked.answer is None]
                done = _attempt(engine, group) if group else True
            if done:
                engine.after()
                return
            if done is False:
                engine.after_conflict()
        raise VaultBusy("others kept writing to the vault; try again")
    except StoreFull as error:
        unsettled = [asked for asked in group if not asked.settled]
        if len(unsettled) > 1:
            # What narrows access may use the last of the space, and must not wait for what may not.
            for asked in unsettled:
                serve(engine, [asked])
        else:
            _fail(group, error)
    except Exception as error:
        _fail(group, error)


def _fail(group: Sequence[Asked], error: Exception) -> None:
    for asked in group:
        if not asked.settled:
            asked.error = error


@attrs.define(eq=False)
class _Decided:
    asked: Asked
    request: Request
    decision: Decision
    prepared: Prepared


def _attempt(engine: "Engine", group: Sequence[Asked]) -> bool | None:
    """Decide and commit the group. With nobody answered: False after a conflict, None where it was decided on an old
    state, which is new now."""
    state, decided = engine.state, list[_Decided]()
    answers: list[tuple[Asked, Answer]] = []
    for asked in group:
        try:
            at = engine.now()
            match asked.prepare(state, at):
                case Success(prepared):
                    made = _decided(state, asked, at, prepared)
                case Failure(refusal):
                    answers.append((asked, Failure(refusal)))
                    continue
                case _:
                    raise AssertionError
        except Exception as error:
            if len(group) == 1:
                raise
            asked.error = error
            continue
        if made is None:
            answers.append((asked, Failure(MALFORMED)))
        else:
            decided.append(made)
            state = made.decision.state
    if decided:
        if not _commit(engine, decided):
            return False
    elif answers and engine.refresh():
        return None
    for asked, answer in answers:
        asked.answer = answer
    for one in decided:
        try:
            one.asked.answer = _answer(engine, one)
        except Exception as error:
            one.asked.error = error
    return True


def _decided(state: VaultState, asked: Asked, at: int, prepared: Prepared) -> _Decided | None:
    # What we write must be what an auditor can read: a caller's ill-typed field is found here.
    request = Request(at=at, command=prepared.command, id=asked.request, principal=asked.principal)
    try:
        decision = decide(state, request)
    except (TypeError, AttributeError, ValueError):
        return None
    entry = read_entry(decision.entry)
    if isinstance(entry, str) or entry.command != request.command:
        return None
    return _Decided(asked, request, decision, prepared)


def prepared(engine: "Engine", state: VaultState, at: int, given: Ask) -> Result[Prepared, Refusal]:
    """What somebody asked for, ready to be decided: a draft completed, a command as it is."""
    if isinstance(given, Draft):
        try:
            completed = complete(state, engine.keys, at, given, engine.entropy.draw(DRAW_BYTES))
        except (TypeError, AttributeError, ValueError):
            return Failure(MALFORMED)
        return completed.map(lambda made: Prepared(command=made.command, record=made.record, shown=made.shown))
    # What these need beside the log, only the methods for them prepare.
    return Failure(NO_RECORD) if isinstance(given, _NEED_MORE) else Success(Prepared(command=given))


def _commit(engine: "Engine", group: Sequence[_Decided]) -> bool:
    batch = _batch(engine, group)
    for one in group:
        # Should this thread be interrupted now, whoever serves them again finds what was recorded.
        one.asked.given = True
    try:
        if not engine.store.commit(batch):
            return False
    except StoreUnavailable:
        if not engine.was_kept(batch.entries[-1].tag):
            raise
        engine.refresh()
        return True
    assert batch.head is not None
    engine.advance(group[-1].decision.state, batch.head)
    committed(len(group))
    return True


def _batch(engine: "Engine", group: Sequence[_Decided]) -> Batch:
    """All that becomes durable with these commands, in their order."""
    keys, vault, size = engine.keys, engine.header.vault, engine.state.log.size
    salts = engine.entropy.draw(SALT_BYTES * len(group))
    entries: list[StoredEntry] = []
    keep: list[SealedRecord] = []
    rewrap: list[Wrap] = []
    erase: list[RecordKey] = []
    header = archive = base = None
    urgent = quiet = True
    for at, one in enumerate(group):
        decision, prepared = one.decision, one.prepared
        salt = salts[at * SALT_BYTES : (at + 1) * SALT_BYTES]
        sealed = seal_entry(keys, vault, size + at, decision.entry, salt)
        entries.append(StoredEntry(tag=request_tag(keys, one.request.id), sealed=sealed))
        urgent = urgent and prepared.command.type in NARROWING
        quiet = quiet and prepared.command.type in QUIET
        if decision.refusal is not None:
            continue
        for effect in decision.effects:
            match effect:
                case KeepRecord() if prepared.record is not None:
                    keep.append(prepared.record)
                case EraseRecord(secret, version):
                    erase.append((secret, version))
                case _:
                    pass
        rewrap += prepared.rewrap
        if prepared.header is not None:
            header = header or (prepared.header.raw, prepared.header.mac)
        archive, base = archive or prepared.archive, base or prepared.base
    return Batch(
        expected_size=size,
        entries=tuple(entries),
        head=encode_head(keys, vault, group[-1].decision.state.log),
        header=header,
        keep=tuple(keep),
        rewrap=tuple(rewrap),
        erase=tuple(erase),
        archive=archive,
        base=base,
        urgent=urgent,
        quiet=quiet,
    )


def _answer(engine: "Engine", one: _Decided) -> Answer:
    decision, prepared = one.decision, one.prepared
    if decision.refusal is not None:
        return Failure(decision.refusal)
    if prepared.header is not None:
        engine.adopt(prepared.header.header)
    disclosed, shown_version, erased = prepared.shown, None, None
    for effect in decision.effects:
        match effect:
            case Reveal(secret, version, _):
                match engine.open_record(secret, version):
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
        erased = engine.store.settle()
    return Success(
        Outcome(
            command=one.request.command,
            seq=decision.state.log.size - 1,
            at=one.request.at,
            request=one.request.id,
            disclosed=disclosed,
            version=shown_version,
            erased=erased,
        )
    )
