"""Snapshots: the state as canonical bytes, so that opening a vault need not replay the whole log.

Only what replay cannot derive is written; indexes are built again. A snapshot is good for any size of the log
at or beyond its own: replaying the tail from it gives the same state as replaying everything.
"""

from collections.abc import Iterable
from typing import Annotated, TypeVar

import attrs
import msgspec
from immutables import Map
from returns.result import Failure, Result, Success

from ironsecrets.access_requests import AccessRequest, AccessRequests, RequestPolicy
from ironsecrets.agents import AgentRecord, Agents
from ironsecrets.encoding import canonical as canonical_bytes
from ironsecrets.encoding import decode_canonical
from ironsecrets.epochs import Epoch
from ironsecrets.grants import Grant, Grants, Held, Scope
from ironsecrets.identifiers import (
    AgentId,
    Digest,
    DigestField,
    GrantId,
    Micros,
    Ordinal,
    SecretIdField,
    Size,
    Span,
    VaultId,
    VaultIdField,
)
from ironsecrets.kill_switch import Sealed
from ironsecrets.leases import Lease, Leases
from ironsecrets.merkle import Frontier
from ironsecrets.refusals import Tampered
from ironsecrets.retention import Segments
from ironsecrets.secrets import Secret, Secrets
from ironsecrets.slots import SlotRecord, Slots
from ironsecrets.state import Oversight, VaultState
from ironsecrets.suspension import SuspensionPolicy

SNAPSHOT_LIMIT = 2**31
SNAPSHOT_INTERVAL = 1024


@attrs.frozen(kw_only=True)
class _Snapshot:
    access_requests: tuple[AccessRequest, ...]
    agents: tuple[AgentRecord, ...]
    epoch_age: Span | None
    epochs: tuple[Epoch, ...]
    frontier: tuple[DigestField, ...]
    grants: tuple[Grant, ...]
    header: DigestField
    last_at: Micros
    leases: tuple[Lease, ...]
    prune_grants: tuple[tuple[str, Annotated[int, msgspec.Meta(ge=1)]], ...]
    prune_leases: tuple[tuple[str, Annotated[int, msgspec.Meta(ge=1)]], ...]
    request_policy: RequestPolicy
    rewrapped: tuple[SecretIdField, ...]
    sealed: Sealed | None
    secrets: tuple[Secret, ...]
    segments: Segments
    size: Size
    slots: tuple[SlotRecord, ...]
    root_generation: Ordinal
    suspension: SuspensionPolicy | None
    vault: VaultIdField


_DECODER = msgspec.json.Decoder(_Snapshot)
_V = TypeVar("_V")


def due(state: VaultState, snapshot_size: int) -> bool:
    """Whether a new snapshot is due: after 1,024 entries, or as many as the state has objects.

    Writing one costs time in proportion to the objects, so the cost per entry stays constant, and opening
    replays a tail in proportion to what it loads anyway.
    """
    return state.log.size - snapshot_size >= max(SNAPSHOT_INTERVAL, state.objects())


def _thresholds(held: "Map[AgentId, Held]") -> tuple[tuple[str, int], ...]:
    return tuple(sorted((agent, one.prune_at) for agent, one in held.items()))


def encode_snapshot(state: VaultState) -> bytes:
    """Canonical bytes: two equal states have the same."""
    return canonical_bytes(
        _Snapshot(
            access_requests=_sorted(state.oversight.access_requests.by_id.values(), "id"),
            agents=_sorted(state.agents.by_id.values(), "id"),
            epoch_age=state.epoch_age,
            epochs=state.epochs,
            frontier=tuple(Digest(h.hex()) for h in state.log.hashes),
            grants=_sorted(state.grants.by_id.values(), "id"),
            header=state.header,
            last_at=state.last_at,
            leases=_sorted(state.leases.by_id.values(), "id"),
            prune_grants=_thresholds(state.grants.by_agent),
            prune_leases=_thresholds(state.leases.by_agent),
            request_policy=state.oversight.request_policy,
            rewrapped=tuple(sorted(state.rewrapped)),
            sealed=state.sealed,
            secrets=_sorted(state.secrets.by_id.values(), "id"),
            segments=state.oversight.segments,
            size=state.log.size,
            slots=state.slots.all,
            root_generation=state.slots.generation,
            suspension=state.oversight.suspension,
            vault=state.vault,
        )
    )


def _sorted(values: Iterable[_V], field: str) -> tuple[_V, ...]:
    return tuple(sorted(values, key=lambda value: getattr(value, field)))


def decode_snapshot(raw: bytes | bytearray) -> Result[VaultState, Tampered]:
    """The inverse of :func:`encode_snapshot`."""
    match decode_canonical(_DECODER, raw, limit=SNAPSHOT_LIMIT, what="snapshot"):
        case Success(snapshot):
            pass
        case _:
            return Failure(Tampered("snapshot"))
    frontier = Frontier(snapshot.size, tuple(bytes.fromhex(h) for h in snapshot.frontier))
    if not frontier.is_sound():
        return Failure(Tampered("snapshot"))
    return Success(
        VaultState(
            vault=VaultId(snapshot.vault),
            header=snapshot.header,
            epochs=snapshot.epochs,
            rewrapped=Map((one, True) for one in snapshot.rewrapped),
            epoch_age=snapshot.epoch_age,
            slots=Slots(snapshot.slots, snapshot.root_generation),
            secrets=Secrets(
                Map((s.id, s) for s in snapshot.secrets),
                Map(((s.environment, s.name), s.id) for s in snapshot.secrets),
            ),
            agents=Agents(
                Map((a.id, a) for a in snapshot.agents),
                Map((a.token, a.id) for a in snapshot.agents if a.token is not None),
            ),
            grants=_grants(snapshot),
            leases=Leases(
                Map((lease.id, lease) for lease in snapshot.leases),
                _held(((lease.agent, lease.id) for lease in snapshot.leases), snapshot.prune_leases),
            ),
            oversight=Oversight(
                access_requests=_access_requests(snapshot.access_requests),
                request_policy=snapshot.request_policy,
                suspension=snapshot.suspension,
                sealed=snapshot.sealed,
                segments=snapshot.segments,
            ),
            log=frontier,
            last_at=snapshot.last_at,
        )
    )


def _access_requests(kept: tuple[AccessRequest, ...]) -> AccessRequests:
    requests = AccessRequests()
    for one in kept:
        requests = requests.keep(one)
    return requests


def _held(pairs: Iterable[tuple[AgentId, str]], thresholds: tuple[tuple[str, int], ...]) -> "Map[AgentId, Held]":
    ids: dict[AgentId, dict[str, bool]] = {AgentId(agent): {} for agent, _ in thresholds}
    for agent, one in pairs:
        ids.setdefault(agent, {})[one] = True
    prune = dict(thresholds)
    return Map({agent: Held(Map(held), prune.get(agent, Held().prune_at)) for agent, held in ids.items()})


def _grants(snapshot: _Snapshot) -> Grants:
    by_scope: dict[Scope, list[Grant]] = {}
    for grant in snapshot.grants:
        by_scope.setdefault((grant.agent, grant.environment, grant.selector), []).append(grant)
    return Grants(
        Map((g.id, g) for g in snapshot.grants),
        Map({scope: _in_order(grants) for scope, grants in by_scope.items()}),
        _held(((g.agent, g.id) for g in snapshot.grants), snapshot.prune_grants),
    )


def _in_order(grants: list[Grant]) -> tuple[GrantId, ...]:
    return tuple(g.id for g in sorted(grants, key=lambda grant: (grant.created_at, grant.id)))
