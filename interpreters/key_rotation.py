"""Rotating the epoch key: open a new epoch, re-wrap every DEK batch by batch, retire the old epoch.

Each step is one command and one transaction, so a rotation that is killed goes on where it was. Reads and writes
go on all the while: records under either epoch open, and new versions are sealed under the new one.
"""

from collections.abc import Callable, Iterator, Sequence

import attrs
from returns.result import Failure, Result, Success

from interpreters.conversions import accepted
from interpreters.engine import Engine
from interpreters.outcome import Prepared, new_header
from interpreters.store import RecordKey
from interpreters.unsealed import found
from ironsecrets.epochs import OpenEpoch, RetireEpoch, Rewrap, behind, left_behind
from ironsecrets.errors import IntegrityError
from ironsecrets.header import header_digest
from ironsecrets.identifiers import SecretId
from ironsecrets.keyring import wrap_epoch
from ironsecrets.principals import Operator
from ironsecrets.refusals import Refusal
from ironsecrets.sealing import KEY_BYTES, SALT_BYTES, Wrap, rewrap_dek
from ironsecrets.sensitive import wipe
from ironsecrets.state import VaultState

BATCH = 500
Progress = Callable[[int, int], None]


@attrs.frozen(kw_only=True)
class KeyRotation:
    """A finished rotation: the epoch that is current now, and how many secrets were re-wrapped by this run.

    ``final`` is False where erased bytes may linger in the write-ahead log until a reader has finished.
    """

    epoch: int
    rewrapped: int
    resumed: bool
    final: bool


def rotate_key(
    engine: Engine, operator: Operator, *, batch: int = BATCH, progress: Progress | None = None
) -> KeyRotation:
    """Rotate, or finish a rotation that was interrupted."""
    engine.check_usable()
    with engine.lock:
        engine.catch_up()
        resumed = len(engine.state.epochs) > 1
    if not resumed:
        accepted(engine.perform(operator, lambda state, at: _opened(engine, state, at)))
    done = 0
    # Re-wrapping leaves nothing behind but what others change meanwhile: look again until that is nothing.
    while todo := _left(engine.state):
        total = done + len(todo)
        for start in range(0, len(todo), batch):
            chunk = todo[start : start + batch]
            _rewrapped(engine, operator, chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, total)
    final = True
    for epoch in engine.state.epochs[:-1]:
        retired = accepted(engine.perform(operator, lambda state, at, number=epoch.number: _retired(engine, number)))
        final = retired.erased is not False
    return KeyRotation(epoch=engine.state.epoch(), rewrapped=done, resumed=resumed, final=final)


def _left(state: VaultState) -> list[SecretId]:
    return left_behind(state.epochs, state.rewrapped, state.secrets)


def _opened(engine: Engine, state: VaultState, at: int) -> Result[Prepared, Refusal]:
    number = state.epoch() + 1
    key = bytearray(engine.entropy.draw(KEY_BYTES))
    wrapping, salt = engine.keys["epoch-wrapping"], engine.entropy.draw(SALT_BYTES)
    made = wrap_epoch(wrapping, state.vault, number=number, key=key, at=at, salt=salt)
    wipe(key)
    header = new_header(engine.keys["header-mac"], attrs.evolve(engine.header, epochs=(*engine.header.epochs, made)))
    return Success(Prepared(command=OpenEpoch(epoch=number, header=header_digest(header.raw)), header=header))


def _retired(engine: Engine, number: int) -> Result[Prepared, Refusal]:
    left = tuple(epoch for epoch in engine.header.epochs if epoch.number != number)
    header = new_header(engine.keys["header-mac"], attrs.evolve(engine.header, epochs=left))
    return Success(Prepared(command=RetireEpoch(epoch=number, header=header_digest(header.raw)), header=header))


def _rewrapped(engine: Engine, operator: Operator, chunk: Sequence[SecretId]) -> None:
    """One batch. Wraps made once are used again after a conflict; what others changed meanwhile is left out.

    Unless they have begun another epoch: then all of it is made anew, or the log would say of records what is not so.
    """
    made: dict[RecordKey, Wrap] = {}

    def prepare(state: VaultState, at: int) -> Result[Prepared, Refusal]:
        epoch = state.epoch()
        wanted = [
            (secret_id, number)
            for secret_id in chunk
            if (secret := state.secrets.by_id.get(secret_id)) is not None
            for number in behind(state.epochs, state.rewrapped, secret)
        ]
        missing = [key for key in wanted if key not in made or made[key].epoch != epoch]
        made.update(_new_wraps(engine, state, epoch, missing))
        secrets = tuple(dict.fromkeys(secret_id for secret_id, _ in wanted))
        if not secrets:
            return Failure(_NOTHING)
        return Success(
            Prepared(command=Rewrap(epoch=epoch, secrets=secrets), rewrap=tuple(made[key] for key in wanted))
        )

    match engine.perform(operator, prepare):
        case Failure(refusal) if refusal is not _NOTHING:
            accepted(Failure(refusal))
        case _:
            pass


_NOTHING = Refusal("nothing-left", "others have done it meanwhile")


def _new_wraps(
    engine: Engine, state: VaultState, epoch: int, keys: Sequence[RecordKey]
) -> Iterator[tuple[RecordKey, Wrap]]:
    old = {(wrap.secret, wrap.version): wrap for wrap in engine.store.wraps(keys)}
    new_key = engine.keys.epoch(epoch)
    salts = engine.entropy.draw(SALT_BYTES * len(keys))
    for at, key in enumerate(keys):
        wrap = old.get(key)
        old_key = None if wrap is None else engine.keys.epoch(wrap.epoch)
        if wrap is None or old_key is None or new_key is None:
            raise IntegrityError(f"sealed record {key[0]} version {key[1]} is missing or names an unknown epoch")
        salt = salts[at * SALT_BYTES : (at + 1) * SALT_BYTES]
        yield (
            key,
            found(rewrap_dek(wrap, vault=state.vault, old_key=old_key, new_key=new_key, epoch=epoch, salt=salt)),
        )
