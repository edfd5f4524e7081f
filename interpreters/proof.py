"""What an opened vault can prove: checkpoints, exports, and the verification of everything it holds."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import TypeVar

from returns.result import Failure, Result, Success

from interpreters.conversions import accepted
from interpreters.engine import Engine
from interpreters.outcome import Verification
from interpreters.unsealed import archived_leaves, base_of, found
from interpreters.witness import Witness
from ironsecrets.at_rest import request_tag, unseal_entry, unseal_snapshot
from ironsecrets.checkpoint import Checkpoint, VerifierKey, origin_of, sign_checkpoint, verify_checkpoint
from ironsecrets.errors import IntegrityError, Refused
from ironsecrets.header import header_digest, header_holds, raw_bytes
from ironsecrets.keyring import unwrap_key
from ironsecrets.merkle import OUT_OF_RANGE, Frontier, consistency_proof, inclusion_proof, leaf_hash
from ironsecrets.proof_files import consistency_file, inclusion_file
from ironsecrets.refusals import Refusal, Tampered
from ironsecrets.replaying import Divergence, Replayer, records_of
from ironsecrets.sealing import open_value
from ironsecrets.sensitive import wipe
from ironsecrets.state import EMPTY, VaultState

Progress = Callable[[int, int], None]
ARCHIVED = Refusal(
    "archived", "that entry is archived: its segment file has it, and proves it with the segment's checkpoint"
)
_T = TypeVar("_T")


def verifier_key(engine: Engine) -> VerifierKey:
    """The vault's public key, under the log's name."""
    return VerifierKey(origin_of(engine.header.vault), raw_bytes(engine.header.audit_key))


def checkpoint_note(engine: Engine) -> str:
    """A signed checkpoint of the log as it is."""
    engine.check_usable()
    with engine.lock:
        engine.catch_up(fresh=True)
        return _signed(engine, engine.state.log.size, engine.state.log.root())


def _signed(engine: Engine, size: int, root: bytes) -> str:
    wrapping = engine.keys["signing-key-wrapping"]
    private = found(unwrap_key(wrapping, engine.header.vault, "signing-key", engine.header.signing_key))
    note = sign_checkpoint(Checkpoint(verifier_key(engine).name, size, root), private)
    wipe(private)
    return note


def note_at(engine: Engine, size: int) -> str:
    """A signed checkpoint of the log as it was at ``size`` entries."""
    engine.check_usable()
    with engine.lock:
        engine.catch_up(fresh=True)
        if not 0 <= size <= engine.state.log.size:
            raise Refused(OUT_OF_RANGE)
        return _signed(engine, size, root_at(engine, size))


def base_state(engine: Engine) -> VaultState:
    """The state before the first entry that is not archived."""
    image = engine.store.load()
    if image is None:
        raise IntegrityError("the store holds no vault")
    return base_of(image, engine.keys, engine.header.vault)


def leaves_of(engine: Engine, size: int) -> list[bytes]:
    """The leaf hashes of the first ``size`` entries, archived or not."""
    leaves = archived_leaves(engine.store, engine.keys, engine.header.vault)
    if size > len(leaves):
        leaves += [leaf_hash(entry) for entry in engine.plain_entries(len(leaves), size)]
    return leaves[:size]


def prove_inclusion(engine: Engine, seq: int) -> str:
    """A C2SP ``tlog-proof`` that entry ``seq`` is in the log as it is now. Refusals: ``out-of-range``."""
    engine.check_usable()
    with engine.lock:
        engine.catch_up(fresh=True)
        size = engine.state.log.size
        path = accepted(inclusion_proof(leaves_of(engine, size), seq))
        if seq < engine.state.archived:
            raise Refused(ARCHIVED)
        (entry,) = engine.plain_entries(seq, seq + 1)
        return inclusion_file(entry=entry, index=seq, proof=path, note=_signed(engine, size, engine.state.log.root()))


def consistency_between(engine: Engine, older: int, newer: int) -> tuple[bytes, ...]:
    """That the log at ``newer`` entries continues the one at ``older``. Refusals: ``out-of-range``."""
    engine.check_usable()
    with engine.lock:
        engine.catch_up(fresh=True)
        if newer > engine.state.log.size:
            raise Refused(OUT_OF_RANGE)
        return accepted(consistency_proof(leaves_of(engine, newer), older))


def prove_consistency(engine: Engine, older: int, newer: int) -> str:
    """The same, as a file with both signed checkpoints."""
    proof = consistency_between(engine, older, newer)
    return consistency_file(proof=proof, older=note_at(engine, older), newer=note_at(engine, newer))


def show(engine: Engine, witness: Witness) -> None:
    """Show the log as it is now to a witness, who remembers it, or refuses it (:class:`IntegrityError`)."""
    engine.check_usable()
    with engine.lock:
        witness.saw(verifier_key(engine).text(), checkpoint_note(engine), partial(consistency_between, engine))


def root_at(engine: Engine, size: int) -> bytes:
    """The root hash that the log had at ``size`` entries."""
    if size == engine.state.log.size:
        return engine.state.log.root()
    return Frontier().extend(leaves_of(engine, size)).root()


def hold_against(engine: Engine, note: str) -> None:
    """Refuse a log that is not a continuation of the one that the checkpoint was signed for."""
    match verify_checkpoint(note, verifier_key(engine)):
        case Success(seen):
            pass
        case Failure(refusal):
            raise IntegrityError(f"the remembered checkpoint does not fit this vault: {refusal.message}")
        case _:
            raise AssertionError
    size = engine.state.log.size
    if seen.size > size:
        raise IntegrityError(
            f"the log has {size} entries, the remembered checkpoint {seen.size}:"
            " the vault was put back to an older copy"
        )
    if root_at(engine, seen.size) != seen.root:
        raise IntegrityError("the log is not the one that the remembered checkpoint was signed for")


def verify(engine: Engine, progress: Progress | None = None) -> Result[Verification, Divergence]:
    """Replay the whole log from nothing and hold header, snapshot, state and every sealed record against it.

    Of one moment, while others go on writing.
    """
    engine.check_usable()
    with ExitStack() as stack:
        with engine.lock:
            engine.refresh()
            view = stack.enter_context(engine.beside(stack.enter_context(engine.store.still())))
        # Nobody has to wait for it.
        view.refresh()
        return _verified(view, progress)


def _verified(engine: Engine, progress: Progress | None) -> Result[Verification, Divergence]:
    image = engine.store.load()
    if image is None:
        return _beside("header", "the vault's header", "nothing in its place")
    # After somebody else's rekey the MAC's key is not ours any more; the log's digest below still holds it.
    ours = engine.header.root_generation == engine.keys.generation
    if ours and not header_holds(engine.keys["header-mac"], image.header, image.header_mac):
        return _beside("header", "the header under its MAC", "a header that was changed")
    if header_digest(image.header) != engine.state.header:
        return _beside("header", "the header that the log knows", "another one")
    kept = dict[str, VaultState | None]()
    for name, sealed in (("snapshot", image.snapshot), ("base", image.base)):
        opened = None if sealed is None else unseal_snapshot(engine.keys, engine.header.vault, sealed)
        if isinstance(opened, Failure):
            return _beside(name, "a snapshot that opens", "one that was changed or put back")
        kept[name] = None if opened is None else opened.unwrap()
    base = kept["base"] or EMPTY
    if base.log.size != engine.store.oldest() or base.log.size != engine.state.archived:
        return _beside("base", f"the state at {engine.state.archived} entries, which are archived", "another one")
    try:
        leaves = archived_leaves(engine.store, engine.keys, engine.header.vault)
    except IntegrityError as error:
        return _beside("archive", "the leaf hashes of every archived entry", error.what)
    if Frontier().extend(leaves) != base.log:
        return _beside("archive", "leaf hashes that lead to the base", "others")
    return (
        _replayed(engine, base, kept.pop("snapshot"), progress)
        .bind(lambda state: _state_held(engine, state))
        .bind(lambda state: _records_held(engine, state, progress))
    )


def _replayed(
    engine: Engine, base: VaultState, snapshot: VaultState | None, progress: Progress | None
) -> Result[VaultState, Divergence]:
    replayer, size = Replayer(base), engine.state.log.size
    vault = engine.header.vault
    for seq, stored in enumerate(engine.store.entries(base.log.size), base.log.size):
        if seq >= size:
            return _at(seq, "size", f"{size} entries, as the head says", "an entry beyond them")
        match unseal_entry(engine.keys, vault, seq, stored.sealed):
            case Success(raw):
                pass
            case _:
                return _at(seq, "sealed", "the bytes that were stored", "bytes that were changed or moved")
        entry = replayer.take(raw)
        if isinstance(entry, Divergence):
            return Failure(entry)
        if request_tag(engine.keys, entry.request) != stored.tag:
            return _at(seq, "request", "the tag of the entry's request", "another one")
        if snapshot is not None and snapshot.log.size == replayer.size:
            if snapshot != replayer.state():
                return _at(seq, "snapshot", "the state that replay gives", "a snapshot that differs")
            snapshot = None  # It may be as large as the state.
        if progress is not None and seq % 1000 == 0:
            progress(seq, size)
    return Success(replayer.state())


def _state_held(engine: Engine, state: VaultState) -> Result[VaultState, Divergence]:
    if state != engine.state:
        return _beside("state", "the state that replay gives", "a state that differs")
    return Success(state)


def _records_held(engine: Engine, state: VaultState, progress: Progress | None) -> Result[Verification, Divergence]:
    expected = records_of(state)
    total = len(expected)
    for number, record in enumerate(engine.store.records()):
        name = f"sealed record {record.secret} version {record.version}"
        known = expected.pop((record.secret, record.version), None)
        if known is None:
            return _beside("records", "no other records than the log knows", name)
        version, epoch = known
        key = engine.keys.epoch(record.epoch) if epoch == record.epoch else None
        opened = (
            Failure(Tampered(name))
            if key is None
            else open_value(record, vault=state.vault, epoch_key=key, expected=version.digest)
        )
        match opened:
            case Success(value):
                wipe(value)
            case _:
                return _beside("records", f"{name} as it was sealed", "one that was changed, swapped or put back")
        if progress is not None and number % 1000 == 0:
            progress(number, total)
    if expected:
        secret, number = min(expected)
        return _beside("records", f"sealed record {secret} version {number}", "nothing in its place")
    return Success(
        Verification(
            entries=state.log.size,
            archived=state.archived,
            records=total,
            secrets=len(state.secrets.by_id),
            root=state.log.root(),
        )
    )


def _at(seq: int, rule: str, expected: str, found: str) -> Result[_T, Divergence]:
    return Failure(Divergence(rule=rule, seq=seq, expected=expected, found=found))


def _beside(rule: str, expected: str, found: str) -> Result[_T, Divergence]:
    return Failure(Divergence(rule=rule, seq=None, expected=expected, found=found))
