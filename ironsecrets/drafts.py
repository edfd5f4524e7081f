"""Drafts: commands that still lack what only an interpreter can draw.

A caller asks for a new version, token, grant or lease without naming ids, salts or keys. ``complete`` is pure:
given the state, the keys and enough random bytes it returns the command for the log, and beside it what must
never enter the log: the sealed record, or the token to show once.
"""

from typing import assert_never

import attrs
from returns.result import Failure, Result, Success

from ironsecrets.agents import Enroll, token_digest, token_text
from ironsecrets.grants import IssueGrant
from ironsecrets.identifiers import (
    LATEST_TIME,
    AgentId,
    Environment,
    GrantId,
    LeaseId,
    RotationId,
    RotatorName,
    SecretId,
    SecretName,
    Selector,
)
from ironsecrets.keyring import Keys
from ironsecrets.leases import OpenLease
from ironsecrets.refusals import Refusal
from ironsecrets.rotation import CreatePending, StartRotation
from ironsecrets.sealing import SealedRecord, SealingDraw, digest_of, seal_value
from ironsecrets.secrets import STALE_EPOCH, Label, Put, next_version
from ironsecrets.sensitive import Sensitive
from ironsecrets.state import VaultState
from ironsecrets.vault import Command

DRAW_BYTES = 96
"""How many fresh random bytes one completion takes."""


@attrs.frozen(kw_only=True)
class NewVersion:
    """Keep ``value`` (0 bytes to 1 MiB) as the next version. Metadata that is None stays what it was.

    ``expires_in`` is in microseconds, counted from the decision: when the value itself ends at its provider.
    """

    name: SecretName
    environment: Environment
    value: Sensitive
    expires_in: int | None = None
    description: str | None = None
    provider: str | None = None
    tags: tuple[str, ...] | None = None
    variable: str | None = None


@attrs.frozen(kw_only=True)
class NewToken:
    """Give ``agent`` a token; ``replace`` allows one that holds a token already."""

    agent: AgentId
    replace: bool = False


@attrs.frozen(kw_only=True)
class NewGrant:
    """Grant ``agent`` what ``selector`` covers. Times in microseconds; ``expires_in`` counts from the decision."""

    agent: AgentId
    selector: Selector
    environment: Environment
    default_ttl: int
    maximum_ttl: int
    expires_in: int | None = None
    uses: int | None = None


@attrs.frozen(kw_only=True)
class NewLease:
    """Lease ``name`` for ``ttl`` microseconds (None: the grant's default)."""

    name: SecretName
    environment: Environment
    ttl: int | None = None
    label: Label = "current"


@attrs.frozen(kw_only=True)
class NewRotation:
    """Begin to rotate a value, by this rotator."""

    name: SecretName
    environment: Environment
    rotator: RotatorName


@attrs.frozen(kw_only=True)
class NewPending:
    """Keep ``value`` as the pending version of a rotation that was started. ``expires_in`` as of a new version."""

    name: SecretName
    environment: Environment
    rotation: RotationId
    value: Sensitive
    expires_in: int | None = None


Draft = NewVersion | NewToken | NewGrant | NewLease | NewRotation | NewPending
DRAFTS = (NewVersion, NewToken, NewGrant, NewLease, NewRotation, NewPending)
"""The kinds of draft, for ``isinstance``."""


@attrs.frozen(kw_only=True)
class Completed:
    """The command for the log; beside it the record to store, or what to show once to who asked."""

    command: Command
    record: SealedRecord | None = None
    shown: Sensitive | None = None


def complete(state: VaultState, keys: Keys, at: int, draft: Draft, draw: bytes) -> Result[Completed, Refusal]:
    """Turn ``draft`` into a command, with ``draw`` (96 random bytes, used once).

    Refusals: ``value-too-large``, ``stale-epoch``.
    """
    match draft:
        case NewVersion() | NewPending():
            return _version(state, keys, at, draft, draw)
        case NewToken(agent=agent, replace=replace):
            token, text = token_text(draw)
            command = Enroll(agent=agent, digest=token_digest(text), replace=replace, token=token)
            return Success(Completed(command=command, shown=Sensitive(text)))
        case NewGrant():
            return Success(
                Completed(
                    command=IssueGrant(
                        agent=draft.agent,
                        default_ttl=draft.default_ttl,
                        environment=draft.environment,
                        expires_at=None if draft.expires_in is None else at + draft.expires_in,
                        grant=GrantId("gr_" + draw[:8].hex()),
                        maximum_ttl=draft.maximum_ttl,
                        selector=draft.selector,
                        uses=draft.uses,
                    )
                )
            )
        case NewLease():
            lease = LeaseId("ls_" + draw[:16].hex())
            return Success(
                Completed(
                    command=OpenLease(
                        environment=draft.environment, label=draft.label, lease=lease, name=draft.name, ttl=draft.ttl
                    )
                )
            )
        case NewRotation():
            return Success(
                Completed(
                    command=StartRotation(
                        environment=draft.environment,
                        name=draft.name,
                        rotation=RotationId("rt_" + draw[:8].hex()),
                        rotator=draft.rotator,
                    )
                )
            )
        case _:
            assert_never(draft)


def _version(
    state: VaultState, keys: Keys, at: int, draft: NewVersion | NewPending, draw: bytes
) -> Result[Completed, Refusal]:
    fresh = SecretId(draw[:16].hex())
    secret, version = next_version(state.secrets, draft.environment, draft.name, fresh)
    epoch_key = keys.epoch(state.epoch())
    if epoch_key is None:
        return Failure(STALE_EPOCH)
    sealing = SealingDraw(dek=draw[16:48], nonce=draw[48:60], salt=draw[60:84])

    expires_at = None if draft.expires_in is None else min(at + draft.expires_in, LATEST_TIME)

    def completed(record: SealedRecord) -> Completed:
        if isinstance(draft, NewPending):
            pending = CreatePending(
                digest=digest_of(record),
                environment=draft.environment,
                epoch=record.epoch,
                expires_at=expires_at,
                name=draft.name,
                rotation=draft.rotation,
                secret=secret,
                version=version,
            )
            return Completed(command=pending, record=record)
        command = Put(
            description=draft.description,
            digest=digest_of(record),
            environment=draft.environment,
            epoch=record.epoch,
            expires_at=expires_at,
            name=draft.name,
            provider=draft.provider,
            secret=secret,
            tags=draft.tags,
            variable=draft.variable,
            version=version,
        )
        return Completed(command=command, record=record)

    return seal_value(
        vault=state.vault,
        secret=secret,
        version=version,
        epoch=state.epoch(),
        epoch_key=epoch_key,
        value=draft.value.view(),
        draw=sealing,
    ).map(completed)
