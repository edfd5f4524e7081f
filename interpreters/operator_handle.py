"""An operator's handle: secrets, keys and rotations, beside what it decides about access."""

from collections.abc import Sequence
from datetime import timedelta

from interpreters.access_handle import AccessHandle
from interpreters.conversions import accepted, micros
from interpreters.derivation import Credential
from interpreters.engine import Engine
from interpreters.key_rotation import BATCH, KeyRotation, Progress, rotate_key
from interpreters.rotation_handle import RotationHandle
from interpreters.slot_changes import add_slot, change_slot, rekey, remove_slot
from ironsecrets import identifiers as ids
from ironsecrets.drafts import NewVersion
from ironsecrets.epochs import SetKeyPolicy
from ironsecrets.header import Argon2Cost
from ironsecrets.metadata import parse_metadata
from ironsecrets.principals import Operator
from ironsecrets.reading import RevealValue
from ironsecrets.removal import Delete, Destroy, Erase, Undelete
from ironsecrets.secrets import Describe, Put, Rollback
from ironsecrets.sensitive import Sensitive


class OperatorHandle(AccessHandle):
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


def operator_handle(engine: Engine, name: str) -> OperatorHandle:
    """The handle of an operator of this name."""
    return OperatorHandle(engine, Operator(accepted(ids.parse_person_name(name))))
