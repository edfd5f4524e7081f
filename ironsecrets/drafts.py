"""Drafts: commands that still lack what only an interpreter can draw.

A caller asks for a new version, token, grant or lease without naming ids, salts or keys. ``complete`` is pure:
given the state, the keys and enough random bytes it returns the command for the log, and beside it what must
never enter the log: the sealed record, or the token to show once.
"""

from typing import assert_never

import attrs
from returns.result import Failure, Result, Success

from ironsecrets.access_requests import ApproveRequest, RequestAccess
from ironsecrets.agents import Enroll, token_digest, token_text
from ironsecrets.conditions import DEFAULT_TERMS, Terms
from ironsecrets.grants import BreakGlass, IssueGrant
from ironsecrets.identifiers import (
    LATEST_TIME,
    AccessRequestId,
    AgentId,
    Digest,
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
    """Grant ``agent`` what ``selector`` covers, on these terms."""

    agent: AgentId
    selector: Selector
    environment: Environment
    terms: Terms


@attrs.frozen(kw_only=True)
class NewBreakGlass:
    """Grant in an emergency, for an hour at most, and say why."""

    agent: AgentId
    selector: Selector
    environment: Environment
    terms: Terms
    reason: str


@attrs.frozen(kw_only=True)
class NewAccessRequest:
    """Ask to be granted ``name``, and say why."""

    name: SecretName
    environment: Environment
    reason: str


@attrs.frozen(kw_only=True)
class NewApproval:
    """Agree to an access request; ``terms`` None takes the conditions that another operator has proposed."""

    access_request: AccessRequestId
    terms: Terms | None = None


@attrs.frozen(kw_only=True)
class NewLease:
    """Lease ``name`` for ``ttl`` microseconds (None: the grant's default).

    ``recipient`` is the digest of the public key that the value is sealed to, where it is delivered so.
    """

    name: SecretName
    environment: Environment
    ttl: int | None = None
    label: Label = "current"
    recipient: Digest | None = None


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


Draft = (
    NewVersion
    | NewToken
    | NewGrant
    | NewBreakGlass
    | NewAccessRequest
    | NewApproval
    | NewLease
    | NewRotation
    | NewPending
)


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
        case NewGrant() | NewBreakGlass():
            return Success(Completed(command=_granting(draft, at, draw)))
        case NewAccessRequest():
            asked = RequestAccess(
                access_request=AccessRequestId("ar_" + draw[:8].hex()),
                environment=draft.environment,
                name=draft.name,
                reason=draft.reason,
            )
            return Success(Completed(command=asked))
        case NewApproval():
            return Success(Completed(command=_approval(state, at, draft, draw)))
        case NewLease():
            lease = LeaseId("ls_" + draw[:16].hex())
            return Success(
                Completed(
                    command=OpenLease(
                        environment=draft.environment,
                        label=draft.label,
                        lease=lease,
                        name=draft.name,
                        recipient=draft.recipient,
                        ttl=draft.ttl,
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


def _granting(draft: NewGrant | NewBreakGlass, at: int, draw: bytes) -> IssueGrant | BreakGlass:
    grant, conditions = GrantId("gr_" + draw[:8].hex()), draft.terms.conditions(at)
    agent, environment, selector = draft.agent, draft.environment, draft.selector
    if isinstance(draft, NewBreakGlass):
        return BreakGlass(
            agent=agent,
            conditions=conditions,
            environment=environment,
            grant=grant,
            reason=draft.reason,
            selector=selector,
        )
    return IssueGrant(agent=agent, conditions=conditions, environment=environment, grant=grant, selector=selector)


def _approval(state: VaultState, at: int, draft: NewApproval, draw: bytes) -> ApproveRequest:
    request = state.oversight.access_requests.by_id.get(draft.access_request)
    proposed = request.conditions if request is not None and draft.terms is None else None
    return ApproveRequest(
        access_request=draft.access_request,
        conditions=proposed or (draft.terms or DEFAULT_TERMS).conditions(at),
        grant=GrantId("gr_" + draw[:8].hex()),
    )


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
