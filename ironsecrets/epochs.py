"""Epochs: generations of the key under which DEKs are wrapped, and how one follows another.

A new epoch is opened; every live version's DEK is re-wrapped under it, batch by batch, each batch one command;
an epoch under which nothing is wrapped any more is retired and its key erased. Ciphertexts stay as they are.
Epochs are due by age and by wrap count (NIST SP 800-57 part 1 section 5.3, SP 800-38D section 8.3).
"""

from typing import Annotated, Literal

import attrs
import msgspec
from returns.result import Failure, Result, Success

from ironsecrets.effects import Effect, RewrapRecord, WriteHeader
from ironsecrets.identifiers import DigestField, Micros, Ordinal, SecretId, SecretIdField, Size, Span
from ironsecrets.refusals import Refusal
from ironsecrets.secrets import STALE_EPOCH, Secret, Secrets

WRAP_LIMIT = 2**31
BATCH_LIMIT = 1000
DAY = 86_400_000_000
DEFAULT_AGE = 90 * DAY

EPOCH_UNFINISHED = Refusal("epoch-unfinished", "an earlier epoch is not retired yet; finish that rotation first")
EPOCH_IN_USE = Refusal("epoch-in-use", "records are still wrapped under that epoch")
UNKNOWN_EPOCH = Refusal("unknown-epoch", "there is no such epoch")
STALE_REWRAP = Refusal("stale-rewrap", "there is nothing to re-wrap for a secret of that batch")


@attrs.frozen(kw_only=True)
class Epoch:
    """One epoch, as the state knows it: DEKs ever wrapped under it, and records that still are."""

    created_at: Micros
    live: Size
    number: Ordinal
    wraps: Size


@attrs.frozen(kw_only=True)
class OpenEpoch:
    """Begin epoch ``epoch``; ``header`` is the digest of the header that holds its wrapped key."""

    epoch: Ordinal
    header: DigestField
    type: Literal["open-epoch"] = "open-epoch"


@attrs.frozen(kw_only=True)
class Rewrap:
    """Wrap every live version of these secrets under the current epoch: one batch of a key rotation."""

    epoch: Ordinal
    secrets: Annotated[tuple[SecretIdField, ...], msgspec.Meta(min_length=1, max_length=BATCH_LIMIT)]
    type: Literal["rewrap"] = "rewrap"


@attrs.frozen(kw_only=True)
class RetireEpoch:
    """Erase the key of an epoch under which nothing is wrapped any more."""

    epoch: Ordinal
    header: DigestField
    type: Literal["retire-epoch"] = "retire-epoch"


@attrs.frozen(kw_only=True)
class SetKeyPolicy:
    """How old an epoch may become before a new one is due, in microseconds; None means never by age."""

    age: Span | None
    type: Literal["set-key-policy"] = "set-key-policy"


Epochs = tuple[Epoch, ...]
Changed = Result[tuple[Epochs, Secrets, tuple[Effect, ...]], Refusal]


def wrapped(epochs: Epochs) -> Epochs:
    """With one more DEK wrapped under the current epoch."""
    current = epochs[-1]
    return (*epochs[:-1], attrs.evolve(current, wraps=current.wraps + 1, live=current.live + 1))


def released(epochs: Epochs, numbers: tuple[int, ...]) -> Epochs:
    """With one record less under each epoch of ``numbers``."""
    return tuple(attrs.evolve(e, live=e.live - numbers.count(e.number)) for e in epochs) if numbers else epochs


def open_epoch(epochs: Epochs, secrets: Secrets, at: int, command: OpenEpoch) -> Changed:
    """Refusals: ``epoch-unfinished``, ``stale-epoch``."""
    if len(epochs) != 1:
        return Failure(EPOCH_UNFINISHED)
    if command.epoch != epochs[0].number + 1:
        return Failure(STALE_EPOCH)
    opened = Epoch(created_at=at, live=0, number=command.epoch, wraps=0)
    return Success(((*epochs, opened), secrets, (WriteHeader(command.header),)))


def behind(secret: Secret, epoch: int) -> tuple[int, ...]:
    """The numbers of the live versions that are wrapped under an earlier epoch."""
    return tuple(v.number for v in secret.versions if v.destroyed_at is None and v.epoch < epoch)


def left_behind(secrets: Secrets, epoch: int) -> list[SecretId]:
    """The secrets that a rotation to ``epoch`` still has to re-wrap."""
    return sorted(secret.id for secret in secrets.by_id.values() if behind(secret, epoch))


def rewrap(epochs: Epochs, secrets: Secrets, command: Rewrap) -> Changed:
    """Refusals: ``stale-epoch``, ``stale-rewrap``."""
    if command.epoch != epochs[-1].number:
        return Failure(STALE_EPOCH)
    effects: list[Effect] = []
    moved: list[int] = []
    changing = secrets.by_id.mutate()
    for secret_id in command.secrets:
        secret = changing.get(secret_id)
        numbers = () if secret is None else behind(secret, command.epoch)
        if secret is None or not numbers:
            return Failure(STALE_REWRAP)
        moved += [secret.versions[number - 1].epoch for number in numbers]
        effects += [RewrapRecord(secret_id, number, command.epoch) for number in numbers]
        versions = tuple(attrs.evolve(v, epoch=command.epoch) if v.number in numbers else v for v in secret.versions)
        changing[secret_id] = attrs.evolve(secret, versions=versions)
    by_id = changing.finish()
    left = released(epochs, tuple(moved))
    current = attrs.evolve(left[-1], wraps=left[-1].wraps + len(moved), live=left[-1].live + len(moved))
    return Success(((*left[:-1], current), attrs.evolve(secrets, by_id=by_id), tuple(effects)))


def retire_epoch(epochs: Epochs, secrets: Secrets, command: RetireEpoch) -> Changed:
    """Refusals: ``unknown-epoch``, ``epoch-in-use``."""
    found = next((epoch for epoch in epochs if epoch.number == command.epoch), None)
    if found is None:
        return Failure(UNKNOWN_EPOCH)
    if found.live or found is epochs[-1]:
        return Failure(EPOCH_IN_USE)
    rest = tuple(epoch for epoch in epochs if epoch is not found)
    return Success((rest, secrets, (WriteHeader(command.header),)))


def due(epochs: Epochs, age: int | None, at: int) -> str | None:
    """Why a new epoch is due at ``at``: ``unfinished``, ``age`` or ``wraps``; None where it is not."""
    if len(epochs) != 1:
        return "unfinished"
    current = epochs[0]
    if current.wraps >= WRAP_LIMIT:
        return "wraps"
    return "age" if age is not None and at - current.created_at >= age else None
