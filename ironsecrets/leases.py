"""Leases: time-boxed use of a grant: open, renew, release, revoke, expire.

A lease is live while its time runs, its grant is neither revoked nor expired, its agent is admitted and its
secret is there: all looked up at each use, so a revocation need not visit leases to end them. Expiry is no
command: it follows from the time that a command or a use carries.
"""

from typing import Literal, Protocol

import attrs
from immutables import Map
from returns.result import Failure, Result, Success

from ironsecrets import grants as granting
from ironsecrets.agents import AGENT_RATE_LIMITED, AgentRecord, Agents, admit
from ironsecrets.effects import Reveal
from ironsecrets.frozen import evolve
from ironsecrets.grants import PRUNE_FLOOR, TTL_TOO_LONG, Grants, Held
from ironsecrets.identifiers import (
    LATEST_TIME,
    AgentId,
    AgentIdField,
    DigestField,
    EnvironmentField,
    GrantIdField,
    LeaseId,
    LeaseIdField,
    Micros,
    SecretIdField,
    SecretNameField,
    Span,
)
from ironsecrets.kill_switch import VAULT_SEALED, Sealed
from ironsecrets.principals import Agent
from ironsecrets.rates import conforms, counted
from ironsecrets.refusals import Refusal
from ironsecrets.secrets import NO_SECRET, SECRET_DELETED, Label, Secret, Secrets, answering

UNKNOWN_LEASE = Refusal("unknown-lease", "there is no such lease; it is released, revoked or expired")
LEASE_EXPIRED = Refusal("lease-expired", "the lease has expired")
LEASE_REVOKED = Refusal("lease-revoked", "the grant behind the lease is revoked or expired")
LEASE_AT_MAXIMUM = Refusal("lease-at-maximum", "the lease already runs as long as its grant allows")
LEASE_TAKEN = Refusal("lease-taken", "that lease id is already in use")


@attrs.frozen(kw_only=True)
class Lease:
    """One use of ``grant``. Live from ``opened_at`` until just before ``expires_at``, both in microseconds."""

    agent: AgentIdField
    environment: EnvironmentField
    expires_at: Micros
    grant: GrantIdField
    id: LeaseIdField
    label: Label = "current"
    name: SecretNameField
    opened_at: Micros
    secret: SecretIdField


@attrs.frozen
class Leases:
    """Leases that are not known to have ended, by id and by agent."""

    by_id: Map[LeaseId, Lease] = Map()
    by_agent: Map[AgentId, Held] = Map()

    def keep(self, lease: Lease) -> "Leases":
        """With ``lease`` added or replaced."""
        held = self.by_agent.get(lease.agent, Held())
        held = Held(held.ids.set(lease.id, True), held.prune_at)
        return Leases(self.by_id.set(lease.id, lease), self.by_agent.set(lease.agent, held))

    def drop(self, lease: Lease) -> "Leases":
        """Without ``lease``."""
        held = self.by_agent[lease.agent]
        ids = held.ids.delete(lease.id)
        by_agent = (
            self.by_agent.set(lease.agent, Held(ids, held.prune_at)) if ids else self.by_agent.delete(lease.agent)
        )
        return Leases(self.by_id.delete(lease.id), by_agent)

    def pruned(self, agent: AgentId, at: int, grants: Grants) -> "Leases":
        """Without the ended leases of ``agent``, once it holds many."""
        held = self.by_agent.get(agent, Held())
        if len(held.ids) < held.prune_at:
            return self
        ended = [
            lease
            for lease_id in sorted(held.ids)
            if (lease := self.by_id[LeaseId(lease_id)]).expires_at <= at or lease.grant not in grants.by_id
        ]
        leases = self
        for lease in ended:
            leases = leases.drop(lease)
        left = leases.by_agent.get(agent, Held())
        left = evolve(left, prune_at=max(PRUNE_FLOOR, 2 * len(left.ids)))
        return evolve(leases, by_agent=leases.by_agent.set(agent, left))

    def without_agent(self, agent: AgentId) -> "Leases":
        """Without any lease of ``agent``."""
        held = self.by_agent.get(agent)
        if held is None:
            return self
        by_id = self.by_id
        with by_id.mutate() as changing:
            for lease_id in held.ids:
                del changing[LeaseId(lease_id)]
            by_id = changing.finish()
        return Leases(by_id, self.by_agent.delete(agent))


@attrs.frozen(kw_only=True)
class OpenLease:
    """An agent asks for a secret by name; ``ttl`` None takes the grant's default.

    With ``label`` ``previous`` it gets the version before the current one, while its overlap window lasts. With
    ``recipient`` the value leaves sealed to the public key that has this digest.
    """

    environment: EnvironmentField
    label: Label = "current"
    lease: LeaseIdField
    name: SecretNameField
    recipient: DigestField | None = None
    ttl: Span | None = None
    type: Literal["lease"] = "lease"


@attrs.frozen(kw_only=True)
class Renew:
    """An agent asks for its lease to run ``ttl`` from now (None: the grant's default), within the maximum."""

    lease: LeaseIdField
    ttl: Span | None = None
    type: Literal["renew"] = "renew"


@attrs.frozen(kw_only=True)
class Release:
    """An agent ends its own lease."""

    lease: LeaseIdField
    type: Literal["release"] = "release"


@attrs.frozen(kw_only=True)
class RevokeLease:
    """An operator ends one lease; its grant stays."""

    lease: LeaseIdField
    type: Literal["revoke-lease"] = "revoke-lease"


class Access(Protocol):
    """The parts of the state that a lease depends on."""

    @property
    def secrets(self) -> Secrets: ...

    @property
    def agents(self) -> Agents: ...

    @property
    def grants(self) -> Grants: ...

    @property
    def leases(self) -> Leases: ...

    @property
    def sealed(self) -> Sealed | None: ...


@attrs.frozen
class Opened:
    """What opening a lease changes, and what it reveals."""

    agents: Agents
    grants: Grants
    leases: Leases
    reveal: Reveal


def open_lease(access: Access, at: int, agent: Agent, command: OpenLease) -> Result[Opened, Refusal]:
    """Refusals: those of :func:`ironsecrets.agents.admit`, :func:`ironsecrets.grants.decide` and of reading a
    secret, ``agent-rate-limited`` and ``lease-taken``. Whether the secret exists is looked at only under a grant
    that covers its name.
    """
    if command.lease in access.leases.by_id:
        return Failure(LEASE_TAKEN)
    record = admit(access.agents, at, agent)
    if isinstance(record, Refusal):
        return Failure(record)
    grant = granting.decide(
        access.grants, at, agent=agent, environment=command.environment, name=command.name, ttl=command.ttl
    )
    if isinstance(grant, Refusal):
        return Failure(grant)
    if not conforms(record.rate, record.tat, at):
        return Failure(AGENT_RATE_LIMITED)
    secret = access.secrets.kept(command.environment, command.name)
    if isinstance(secret, Refusal):
        return Failure(secret)
    version = answering(secret, command.label, at)
    if isinstance(version, Refusal):
        return Failure(version)
    return Success(
        Opened(
            _counted(access.agents, record, at),
            granting.use(access.grants, grant, at),
            access.leases.pruned(agent.id, at, access.grants).keep(_lease(at, agent, command, grant, secret)),
            Reveal(secret.id, version.number, version.digest),
        )
    )


def _counted(agents: Agents, record: AgentRecord, at: int) -> Agents:
    if record.rate is None:
        return agents
    return agents.keep(evolve(record, tat=counted(record.rate, record.tat, at)))


def _lease(at: int, agent: Agent, command: OpenLease, grant: granting.Grant, secret: Secret) -> Lease:
    until = at + (grant.conditions.default_ttl if command.ttl is None else command.ttl)
    return Lease(
        agent=agent.id,
        environment=command.environment,
        expires_at=grant.conditions.bounded(min(until, LATEST_TIME)),
        grant=grant.id,
        id=command.lease,
        label=command.label,
        name=command.name,
        opened_at=at,
        secret=secret.id,
    )


def live(access: Access, at: int, agent: Agent, lease_id: LeaseId) -> tuple[Lease, granting.Grant, Secret] | Refusal:
    """The lease, if ``agent`` may use it at ``at``. Another agent's lease is as unknown as none.

    Which version it gives, :func:`ironsecrets.secrets.answering` says. Refusals: ``vault-sealed``, those of
    :func:`ironsecrets.agents.admit`, ``unknown-lease``, ``lease-expired``, ``lease-revoked``, those of
    :func:`ironsecrets.grants.present`, ``no-secret``, ``secret-deleted``.
    """
    if access.sealed is not None:
        return VAULT_SEALED
    record = admit(access.agents, at, agent)
    if isinstance(record, Refusal):
        return record
    lease = access.leases.by_id.get(lease_id)
    if lease is None or lease.agent != agent.id:
        return UNKNOWN_LEASE
    if at >= lease.expires_at:
        return LEASE_EXPIRED
    grant = access.grants.by_id.get(lease.grant)
    if grant is None or not grant.live(at):
        return LEASE_REVOKED
    absent = granting.present(grant, at, agent)
    if absent is not None:
        return absent
    secret = access.secrets.by_id.get(lease.secret)
    if secret is None:
        return NO_SECRET
    return (lease, grant, secret) if secret.deleted_at is None else SECRET_DELETED


def renew(access: Access, at: int, agent: Agent, command: Renew) -> Result[Leases, Refusal]:
    """Refusals: those of :func:`live`, ``ttl-too-long``, ``lease-at-maximum``."""
    found = live(access, at, agent, command.lease)
    if isinstance(found, Refusal):
        return Failure(found)
    lease, grant, _ = found
    conditions = grant.conditions
    if command.ttl is not None and command.ttl > conditions.maximum_ttl:
        return Failure(TTL_TOO_LONG)
    until = at + (conditions.default_ttl if command.ttl is None else command.ttl)
    until = conditions.bounded(min(until, lease.opened_at + conditions.maximum_ttl))
    if until <= lease.expires_at:
        return Failure(LEASE_AT_MAXIMUM)
    return Success(access.leases.keep(evolve(lease, expires_at=until)))


def release(access: Access, at: int, agent: Agent, command: Release) -> Result[Leases, Refusal]:
    """Refusals: those of :func:`ironsecrets.agents.admit`, ``unknown-lease``."""
    record = admit(access.agents, at, agent)
    if isinstance(record, Refusal):
        return Failure(record)
    lease = access.leases.by_id.get(command.lease)
    if lease is None or lease.agent != agent.id:
        return Failure(UNKNOWN_LEASE)
    return Success(access.leases.drop(lease))


def revoke_lease(leases: Leases, command: RevokeLease) -> Result[Leases, Refusal]:
    """Refusals: ``unknown-lease``."""
    lease = leases.by_id.get(command.lease)
    return Failure(UNKNOWN_LEASE) if lease is None else Success(leases.drop(lease))
