"""Handles: what a principal can do, as methods that raise where ``execute`` gives ``Failure``.

A handle is bound to its principal: an agent's handle cannot name another agent, and nothing a caller passes can
change who asks.
"""

from collections.abc import Sequence
from datetime import timedelta

from interpreters.conversions import MICROSECOND, accepted, micros
from interpreters.derivation import Credential
from interpreters.engine import Engine
from interpreters.key_rotation import BATCH, KeyRotation, Progress, rotate_key
from interpreters.lease_handle import LeaseHandle
from interpreters.outcome import Ask, Outcome
from interpreters.rotation_handle import RotationHandle
from interpreters.slot_changes import add_slot, change_slot, rekey, remove_slot
from ironsecrets import identifiers as ids
from ironsecrets.agents import AgentRecord, Remove, Resume, Suspend
from ironsecrets.drafts import NewGrant, NewLease, NewToken, NewVersion
from ironsecrets.epochs import SetKeyPolicy
from ironsecrets.grants import Grant, IssueGrant, Revoke, RevokeAgent, RevokeAll
from ironsecrets.header import Argon2Cost
from ironsecrets.leases import Lease, RevokeLease
from ironsecrets.masking import mask
from ironsecrets.metadata import parse_metadata
from ironsecrets.principals import Agent, Operator, Principal, Viewer
from ironsecrets.reading import ListEntries, MaskValue, RevealValue
from ironsecrets.removal import Delete, Destroy, Erase, Undelete
from ironsecrets.secrets import Describe, Label, Put, Rollback, Secret
from ironsecrets.sensitive import Sensitive


class Handle:
    """A principal at an opened vault."""

    def __init__(self, engine: Engine, principal: Principal) -> None:
        self._engine = engine
        self._principal = principal

    @property
    def principal(self) -> Principal:
        """Who asks."""
        return self._principal

    def _ask(self, ask: Ask, about: str = "") -> Outcome:
        return accepted(self._engine.execute(self._principal, ask), about)

    def _where(self, name: str, environment: str) -> tuple[ids.SecretName, ids.Environment]:
        return accepted(ids.parse_secret_name(name)), accepted(ids.parse_environment(environment))


class ViewerHandle(Handle):
    """May list, and see masked values. Every look is an entry in the log."""

    def masked(self, name: str, *, environment: str, version: int | None = None) -> str:
        """The value, masked: at most a provider's prefix and the last 4 characters."""
        where = self._where(name, environment)
        asked = MaskValue(name=where[0], environment=where[1], version=version)
        value = self._ask(asked, name).disclosed
        with value or Sensitive(b"") as shown:
            return mask(shown.view())

    def secrets(self, *, environment: str | None = None) -> Sequence[Secret]:
        """Secrets that are not deleted, by environment and name; ``environment`` None means all."""
        within = None if environment is None else accepted(ids.parse_environment(environment))
        self._ask(ListEntries(what="secrets", environment=within))
        found = (
            secret
            for secret in self._engine.state.secrets.by_id.values()
            if secret.deleted_at is None and within in (None, secret.environment)
        )
        return sorted(found, key=lambda secret: (secret.environment, secret.name))

    def history(self, name: str, *, environment: str) -> Secret:
        """A secret with all its versions, labels and metadata."""
        where = self._where(name, environment)
        self._ask(ListEntries(what="history", name=where[0], environment=where[1]), name)
        return accepted(self._engine.state.secrets.live(where[1], where[0]), name)

    def agents(self) -> Sequence[AgentRecord]:
        """Every agent, by id."""
        self._ask(ListEntries(what="agents"))
        return sorted(self._engine.state.agents.by_id.values(), key=lambda agent: agent.id)

    def grants(self) -> Sequence[Grant]:
        """Every grant that is neither revoked nor expired, by agent and selector."""
        self._ask(ListEntries(what="grants"))
        now = self._engine.now()
        live = (grant for grant in self._engine.state.grants.by_id.values() if grant.live(now))
        return sorted(live, key=lambda grant: (grant.agent, grant.environment, grant.selector, grant.id))

    def leases(self) -> Sequence[Lease]:
        """Every lease that is live, by agent and name."""
        self._ask(ListEntries(what="leases"))
        state, now = self._engine.state, self._engine.now()
        live = (
            lease
            for lease in state.leases.by_id.values()
            if now < lease.expires_at and lease.grant in state.grants.by_id
        )
        return sorted(live, key=lambda lease: (lease.agent, lease.environment, lease.name, lease.id))


class OperatorHandle(ViewerHandle):
    """May administer the vault and read full values. Every method is one decision in the log."""

    def __init__(self, engine: Engine, operator: Operator) -> None:
        super().__init__(engine, operator)
        self._operator = operator
        self.rotation = RotationHandle(engine, operator)
        """Rotation of values: policies, what is due, rotations now or by hand."""

    def put(
        self,
        name: str,
        value: str | bytes | Sensitive,
        *,
        environment: str,
        description: str | None = None,
        provider: str | None = None,
        tags: Sequence[str] | None = None,
        variable: str | None = None,
        expires_in: timedelta | None = None,
    ) -> int:
        """Keep ``value`` as a new version, which becomes current; its number. Text is kept as UTF-8.

        ``variable`` is the environment variable that ``run`` injects it as. Metadata left out stays as it was.
        ``expires_in`` says when the value itself ends at its provider, for rotation in time.
        """
        where = self._where(name, environment)
        about = accepted(parse_metadata(description, provider, tags, variable), name)
        # A copy of our own, wiped at the end; what the caller holds stays the caller's.
        with Sensitive(value.view() if isinstance(value, Sensitive) else value) as held:
            draft = NewVersion(
                name=where[0],
                environment=where[1],
                value=held,
                expires_in=micros(expires_in),
                description=about.description,
                provider=about.provider,
                tags=about.tags,
                variable=about.variable,
            )
            match self._ask(draft, name).command:
                case Put(version=version):
                    return version
                case _:
                    raise AssertionError

    def describe(
        self,
        name: str,
        *,
        environment: str,
        description: str | None = None,
        provider: str | None = None,
        tags: Sequence[str] | None = None,
        variable: str | None = None,
    ) -> None:
        """Change a secret's metadata; what is left out stays as it was."""
        where = self._where(name, environment)
        about = accepted(parse_metadata(description, provider, tags, variable), name)
        self._ask(
            Describe(
                name=where[0],
                environment=where[1],
                description=about.description,
                provider=about.provider,
                tags=about.tags,
                variable=about.variable,
            ),
            name,
        )

    def reveal(self, name: str, *, environment: str, version: int | None = None) -> Sensitive:
        """A full value (None: the current version). Use it in a ``with``, which wipes it."""
        where = self._where(name, environment)
        asked = RevealValue(name=where[0], environment=where[1], version=version)
        return self._ask(asked, name).disclosed or Sensitive(b"")

    def rollback(self, name: str, *, environment: str, to: int) -> None:
        """Make version ``to`` current again; the one that was current becomes previous."""
        where = self._where(name, environment)
        self._ask(Rollback(name=where[0], environment=where[1], to=to), name)

    def destroy(self, name: str, *, environment: str, version: int) -> bool:
        """Erase one version for good. False where its bytes may linger until a reader has finished."""
        where = self._where(name, environment)
        return self._ask(Destroy(name=where[0], environment=where[1], version=version), name).erased is not False

    def delete(self, name: str, *, environment: str) -> None:
        """Hide a secret until it is undeleted."""
        where = self._where(name, environment)
        self._ask(Delete(name=where[0], environment=where[1]), name)

    def undelete(self, name: str, *, environment: str) -> None:
        """Bring a deleted secret back as it was."""
        where = self._where(name, environment)
        self._ask(Undelete(name=where[0], environment=where[1]), name)

    def erase(self, name: str, *, environment: str) -> bool:
        """Destroy every version and free the name. False where bytes may linger until a reader has finished."""
        where = self._where(name, environment)
        return self._ask(Erase(name=where[0], environment=where[1]), name).erased is not False

    def enroll(self, agent: str, *, replace: bool = False) -> Sensitive:
        """Give an agent its token, shown this once and kept as a digest. ``replace`` ends the one it has."""
        draft = NewToken(agent=accepted(ids.parse_agent_id(agent)), replace=replace)
        return self._ask(draft, agent).disclosed or Sensitive(b"")

    def suspend(self, agent: str) -> None:
        """End an agent's leases and refuse it everything until it is resumed."""
        self._ask(Suspend(agent=accepted(ids.parse_agent_id(agent))), agent)

    def resume(self, agent: str) -> None:
        """End a suspension."""
        self._ask(Resume(agent=accepted(ids.parse_agent_id(agent))), agent)

    def remove(self, agent: str) -> None:
        """Forget an agent with its token, grants and leases."""
        self._ask(Remove(agent=accepted(ids.parse_agent_id(agent))), agent)

    def grant(
        self,
        agent: str,
        selector: str,
        *,
        environment: str,
        ttl: timedelta = timedelta(minutes=15),
        max_ttl: timedelta | None = None,
        expires_in: timedelta | None = None,
        uses: int | None = None,
    ) -> ids.GrantId:
        """Let ``agent`` lease what ``selector`` covers; the grant's id.

        A lease lasts ``ttl`` and may be renewed or asked for up to ``max_ttl`` (None: ``ttl``). The grant ends
        after ``expires_in`` (None: never) or ``uses`` leases (None: any number).
        """
        longest = ttl if max_ttl is None else max_ttl
        draft = NewGrant(
            agent=accepted(ids.parse_agent_id(agent)),
            selector=accepted(ids.parse_selector(selector)),
            environment=accepted(ids.parse_environment(environment)),
            default_ttl=ttl // MICROSECOND,
            maximum_ttl=longest // MICROSECOND,
            expires_in=micros(expires_in),
            uses=uses,
        )
        match self._ask(draft, agent).command:
            case IssueGrant(grant=grant):
                return grant
            case _:
                raise AssertionError

    def revoke(self, grant: str) -> None:
        """End one grant and its leases, at once and in every process."""
        self._ask(Revoke(grant=accepted(ids.parse_grant_id(grant))), grant)

    def revoke_agent(self, agent: str) -> None:
        """End every grant and lease of one agent."""
        self._ask(RevokeAgent(agent=accepted(ids.parse_agent_id(agent))), agent)

    def revoke_all(self) -> None:
        """End every grant and every lease."""
        self._ask(RevokeAll())

    def rotate_key(self, *, batch: int = BATCH, progress: Progress | None = None) -> KeyRotation:
        """Open a new epoch, re-wrap every DEK, retire the old epoch; or finish what was interrupted.

        Reads and writes go on meanwhile. ``batch`` is how many secrets one transaction re-wraps.
        """
        return rotate_key(self._engine, self._operator, batch=batch, progress=progress)

    def key_policy(self, age: timedelta | None) -> None:
        """How old an epoch may become before a new one is due; None means never by age."""
        self._ask(SetKeyPolicy(age=micros(age)))

    def add_slot(self, *, unlock: Credential, new: Credential, cost: Argon2Cost | None = None) -> ids.SlotId:
        """One more way to unlock the vault; the new slot's id. ``unlock`` is a credential that opens it now."""
        return add_slot(self._engine, self._operator, unlock=unlock, new=new, cost=cost)

    def remove_slot(self, slot: str) -> bool:
        """One way less. False where its bytes may linger until a reader has finished."""
        return remove_slot(self._engine, self._operator, accepted(ids.parse_slot_id(slot)))

    def change_slot(self, *, unlock: Credential, new: Credential, cost: Argon2Cost | None = None) -> ids.SlotId:
        """Replace the slot that ``unlock`` opens: another passphrase, or another cost. Secrets are not touched."""
        return change_slot(self._engine, self._operator, unlock=unlock, new=new, cost=cost)

    def rekey(self, *, credentials: Sequence[Credential], drop: Sequence[str] = ()) -> int:
        """A new root key; its generation. One credential for each slot that stays, the others in ``drop``."""
        slots = [accepted(ids.parse_slot_id(slot)) for slot in drop]
        return rekey(self._engine, self._operator, credentials=credentials, drop=slots)

    def revoke_lease(self, lease: str) -> None:
        """End one lease; its grant stays."""
        self._ask(RevokeLease(lease=accepted(ids.parse_lease_id(lease))), lease)


class AgentHandle(Handle):
    """An agent: may lease what it was granted, for itself only."""

    def __init__(self, engine: Engine, agent: Agent) -> None:
        super().__init__(engine, agent)
        self._agent = agent

    def lease(
        self, name: str, *, environment: str, ttl: timedelta | None = None, label: Label = "current"
    ) -> LeaseHandle:
        """Lease a secret for ``ttl`` (None: the grant's default). Use it in a ``with``, which releases it.

        ``label="previous"`` leases the version before, for as long as its overlap window lasts (``no-previous``).
        """
        where = self._where(name, environment)
        outcome = self._ask(NewLease(name=where[0], environment=where[1], ttl=micros(ttl), label=label), name)
        return LeaseHandle(self._engine, self._agent, outcome)


def operator_handle(engine: Engine, name: str) -> OperatorHandle:
    """The handle of an operator of this name."""
    return OperatorHandle(engine, Operator(accepted(ids.parse_person_name(name))))


def viewer_handle(engine: Engine, name: str) -> ViewerHandle:
    """The handle of a viewer of this name."""
    return ViewerHandle(engine, Viewer(accepted(ids.parse_person_name(name))))
