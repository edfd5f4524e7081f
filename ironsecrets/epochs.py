"""Epochs: generations of the key under which DEKs are wrapped, and how one follows another.

A new epoch is opened; every live version's DEK is re-wrapped under it, batch by batch, each batch one command;
an epoch under which nothing is wrapped any more is retired and its key erased. Ciphertexts stay as they are.
Epochs are due by age and by wrap count (NIST SP 800-57 part 1 section 5.3, SP 800-38D section 8.3).
"""

from typing import Annotated, Literal

import attrs
import msgspec
from immutables import Map
from returns.result import Failure, Result, Success

from ironsecrets.effects import Effect, RewrapRecords, WriteHeader
from ironsecrets.frozen import evolve
from ironsecrets.identifiers import DigestField, Micros, Ordinal, SecretId, SecretIdField, Size, Span
from ironsecrets.refusals import Refusal
from ironsecrets.secrets import STALE_EPOCH, Secret, Secrets, Version

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
"""The current epoch is the last; the one before it is there while a rotation of the key goes on."""
Rewrapped = Map[SecretId, bool]
"""The secrets that a rotation in progress has re-wrapped. A version holds the epoch that it was sealed under at first:
so re-wrapping a secret changes one key of a map, and nothing of the secret."""
Changed = Result[tuple[Epochs, Rewrapped, tuple[Effect, ...]], Refusal]


def wrapped(epochs: Epochs) -> Epochs:
    """With one more DEK wrapped under the current epoch."""
    current = epochs[-1]
    return (*epochs[:-1], evolve(current, wraps=current.wraps + 1, live=current.live + 1))


def released(epochs: Epochs, numbers: tuple[int, ...]) -> Epochs:
    """With one record less under each epoch of ``numbers``."""
    return tuple(evolve(e, live=e.live - numbers.count(e.number)) for e in epochs) if numbers else epochs


def open_epoch(epochs: Epochs, at: int, command: OpenEpoch) -> Changed:
    """Refusals: ``epoch-unfinished``, ``stale-epoch``."""
    if len(epochs) != 1:
        return Failure(EPOCH_UNFINISHED)
    if command.epoch != epochs[0].number + 1:
        return Failure(STALE_EPOCH)
    opened = Epoch(created_at=at, live=0, number=command.epoch, wraps=0)
    return Success(((*epochs, opened), Map(), (WriteHeader(command.header),)))


def wrapped_under(epochs: Epochs, rewrapped: Rewrapped, secret: SecretId, version: Version) -> int:
    """The epoch that a live version's DEK is wrapped under now."""
    moved = secret in rewrapped or version.epoch >= epochs[-1].number
    return epochs[-1].number if moved else epochs[0].number


def behind(epochs: Epochs, rewrapped: Rewrapped, secret: Secret) -> tuple[int, ...]:
    """The numbers of the live versions that are wrapped under the epoch before the current one."""
    if len(epochs) == 1 or secret.id in rewrapped:
        return ()
    current = epochs[-1].number
    return tuple([v.number for v in secret.versions if v.epoch < current and v.destroyed_at is None])


def left_behind(epochs: Epochs, rewrapped: Rewrapped, secrets: Secrets) -> list[SecretId]:
    """The secrets that a rotation still has to re-wrap, the oldest first, as a store may keep them."""
    found = [secret for secret in secrets.by_id.values() if behind(epochs, rewrapped, secret)]
    return [secret.id for secret in sorted(found, key=lambda secret: (secret.created_at, secret.id))]


def rewrap(epochs: Epochs, rewrapped: Rewrapped, secrets: Secrets, command: Rewrap) -> Changed:
    """Refusals: ``stale-epoch``, ``stale-rewrap``."""
    if command.epoch != epochs[-1].number:
        return Failure(STALE_EPOCH)
    count, moved = 0, rewrapped.mutate()
    for secret_id in command.secrets:
        secret = secrets.by_id.get(secret_id)
        numbers = () if secret is None or secret_id in moved else behind(epochs, rewrapped, secret)
        if not numbers:
            return Failure(STALE_REWRAP)
        count += len(numbers)
        moved[secret_id] = True
    old, current = epochs[0], epochs[-1]
    left = evolve(old, live=old.live - count)
    more = evolve(current, wraps=current.wraps + count, live=current.live + count)
    return Success(((left, more), moved.finish(), (RewrapRecords(command.secrets, command.epoch),)))


def retire_epoch(epochs: Epochs, command: RetireEpoch) -> Changed:
    """Refusals: ``unknown-epoch``, ``epoch-in-use``."""
    found = next((epoch for epoch in epochs if epoch.number == command.epoch), None)
    if found is None:
        return Failure(UNKNOWN_EPOCH)
    if found.live or found is epochs[-1]:
        return Failure(EPOCH_IN_USE)
    return Success((epochs[-1:], Map(), (WriteHeader(command.header),)))


def due(epochs: Epochs, age: int | None, at: int) -> str | None:
    """Why a new epoch is due at ``at``: ``unfinished``, ``age`` or ``wraps``; None where it is not."""
    if len(epochs) != 1:
        return "unfinished"
    current = epochs[0]
    if current.wraps >= WRAP_LIMIT:
        return "wraps"
    return "age" if age is not None and at - current.created_at >= age else None
