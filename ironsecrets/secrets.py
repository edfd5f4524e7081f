"""Secrets: a name in an environment, with numbered versions, their labels and their metadata.

A put makes a new version ``current``; the former one becomes ``previous``. A rollback moves the labels and
creates nothing. Destroying a version erases its record; deleting a secret hides it until it is undeleted;
erasing a secret destroys every version and frees the name.
"""

from typing import Literal

import attrs
from immutables import Map
from returns.result import Failure, Result, Success

from ironsecrets.effects import Effect, EraseRecord, KeepRecord
from ironsecrets.identifiers import (
    DigestField,
    Environment,
    EnvironmentField,
    Micros,
    Ordinal,
    PersonNameField,
    SecretId,
    SecretIdField,
    SecretName,
    SecretNameField,
)
from ironsecrets.metadata import Description, Provider, Tags, Variable
from ironsecrets.refusals import Refusal

VERSION_LIMIT = 1_000_000

NO_SECRET = Refusal("no-secret", "there is no such secret in this environment")
NO_VERSION = Refusal("no-version", "the secret has no such version")
SECRET_DELETED = Refusal("secret-deleted", "the secret is deleted; undelete it first")
NOT_DELETED = Refusal("not-deleted", "the secret is not deleted")
VERSION_DESTROYED = Refusal("version-destroyed", "that version is destroyed and its value is gone")
VERSION_CURRENT = Refusal(
    "version-current", "that version is current; put a new value, roll back or erase the secret instead"
)
STALE_VERSION = Refusal("stale-version", "the new version does not follow the secret's latest one")
STALE_EPOCH = Refusal("stale-epoch", "the record is sealed under an epoch that is not current")
TOO_MANY_VERSIONS = Refusal("too-many-versions", "the secret has a million versions; erase it and start anew")


@attrs.frozen(kw_only=True)
class Version:
    """One numbered value of a secret: where its record is sealed, never the value."""

    by: PersonNameField
    created_at: Micros
    destroyed_at: Micros | None = None
    digest: DigestField
    epoch: Ordinal
    number: Ordinal


@attrs.frozen(kw_only=True)
class Secret:
    """A secret and its labels. ``versions[n - 1]`` is version n."""

    created_at: Micros
    current: Ordinal
    deleted_at: Micros | None = None
    description: Description = ""
    environment: EnvironmentField
    id: SecretIdField
    name: SecretNameField
    previous: Ordinal | None = None
    provider: Provider | None = None
    tags: Tags = ()
    variable: Variable | None = None
    versions: tuple[Version, ...]

    def version(self, number: int) -> Version | None:
        """Version ``number``, or None."""
        return self.versions[number - 1] if 1 <= number <= len(self.versions) else None

    def label(self, number: int) -> str:
        """``current``, ``previous`` or nothing."""
        return {self.current: "current", self.previous: "previous"}.get(number, "")


Key = tuple[Environment, SecretName]


@attrs.frozen
class Secrets:
    """All secrets, by immutable id, and the ids by environment and name."""

    by_id: Map[SecretId, Secret] = Map()
    ids: Map[Key, SecretId] = Map()

    def find(self, environment: Environment, name: SecretName) -> Secret | None:
        """The secret of this name, deleted or not."""
        found = self.ids.get((environment, name))
        return None if found is None else self.by_id[found]

    def live(self, environment: Environment, name: SecretName) -> Result[Secret, Refusal]:
        """The secret, unless it is missing or deleted. Refusals: ``no-secret``, ``secret-deleted``."""
        secret = self.find(environment, name)
        if secret is None:
            return Failure(NO_SECRET)
        return Success(secret) if secret.deleted_at is None else Failure(SECRET_DELETED)

    def keep(self, secret: Secret) -> "Secrets":
        """With ``secret`` added or replaced."""
        key = (secret.environment, secret.name)
        ids = self.ids if self.ids.get(key) == secret.id else self.ids.set(key, secret.id)
        return Secrets(self.by_id.set(secret.id, secret), ids)


Changed = Result[tuple[Secrets, tuple[Effect, ...]], Refusal]


@attrs.frozen(kw_only=True)
class Put:
    """A new version, already sealed: ``digest`` is that of its record. None keeps what the metadata was."""

    description: Description | None = None
    digest: DigestField
    environment: EnvironmentField
    epoch: Ordinal
    name: SecretNameField
    provider: Provider | None = None
    secret: SecretIdField
    tags: Tags | None = None
    type: Literal["put"] = "put"
    variable: Variable | None = None
    version: Ordinal


@attrs.frozen(kw_only=True)
class Describe:
    """New metadata for a secret; None keeps what it was."""

    description: Description | None = None
    environment: EnvironmentField
    name: SecretNameField
    provider: Provider | None = None
    tags: Tags | None = None
    type: Literal["describe"] = "describe"
    variable: Variable | None = None


@attrs.frozen(kw_only=True)
class Rollback:
    """Make an older version's value current again."""

    environment: EnvironmentField
    name: SecretNameField
    to: Ordinal
    type: Literal["rollback"] = "rollback"


@attrs.frozen(kw_only=True)
class Destroy:
    """Erase one version's record for good. The current version cannot be destroyed."""

    environment: EnvironmentField
    name: SecretNameField
    type: Literal["destroy"] = "destroy"
    version: Ordinal


@attrs.frozen(kw_only=True)
class Delete:
    """Hide a secret: nothing reads it until it is undeleted."""

    environment: EnvironmentField
    name: SecretNameField
    type: Literal["delete"] = "delete"


@attrs.frozen(kw_only=True)
class Undelete:
    """Bring a deleted secret back as it was."""

    environment: EnvironmentField
    name: SecretNameField
    type: Literal["undelete"] = "undelete"


@attrs.frozen(kw_only=True)
class Erase:
    """Destroy every version of a secret, deleted or not, and free its name."""

    environment: EnvironmentField
    name: SecretNameField
    type: Literal["erase"] = "erase"


def _described(secret: Secret, command: Put | Describe) -> Secret:
    changes = {
        field: value
        for field in ("description", "provider", "tags", "variable")
        if (value := getattr(command, field)) is not None
    }
    return attrs.evolve(secret, **changes) if changes else secret


def next_version(secrets: Secrets, environment: Environment, name: SecretName, fresh: SecretId) -> tuple[SecretId, int]:
    """The id and number that the next version of this name gets; ``fresh`` where there is no secret yet."""
    secret = secrets.find(environment, name)
    return (fresh, 1) if secret is None else (secret.id, len(secret.versions) + 1)


def put(secrets: Secrets, at: int, by: PersonNameField, command: Put) -> Changed:
    """Refusals: ``secret-deleted``, ``stale-version``, ``too-many-versions``."""
    secret = secrets.find(command.environment, command.name)
    version = Version(by=by, created_at=at, digest=command.digest, epoch=command.epoch, number=command.version)
    effects = (KeepRecord(command.secret, command.version, command.digest),)
    if secret is None:
        if command.version != 1 or command.secret in secrets.by_id:
            return Failure(STALE_VERSION)
        made = Secret(
            created_at=at,
            current=1,
            environment=command.environment,
            id=command.secret,
            name=command.name,
            versions=(version,),
        )
        return Success((secrets.keep(_described(made, command)), effects))
    if secret.deleted_at is not None:
        return Failure(SECRET_DELETED)
    if secret.id != command.secret or command.version != len(secret.versions) + 1:
        return Failure(STALE_VERSION)
    if len(secret.versions) >= VERSION_LIMIT:
        return Failure(TOO_MANY_VERSIONS)
    moved = attrs.evolve(secret, versions=(*secret.versions, version), current=command.version, previous=secret.current)
    return Success((secrets.keep(_described(moved, command)), effects))


def describe(secrets: Secrets, command: Describe) -> Changed:
    """Refusals: ``no-secret``, ``secret-deleted``."""
    return secrets.live(command.environment, command.name).map(
        lambda secret: (secrets.keep(_described(secret, command)), ())
    )


def readable(secret: Secret, number: int | None) -> Result[Version, Refusal]:
    """Version ``number`` (None: current), unless it is gone. Refusals: ``no-version``, ``version-destroyed``."""
    version = secret.version(secret.current if number is None else number)
    if version is None:
        return Failure(NO_VERSION)
    return Success(version) if version.destroyed_at is None else Failure(VERSION_DESTROYED)


def rollback(secrets: Secrets, command: Rollback) -> Changed:
    """Refusals: ``no-secret``, ``secret-deleted``, ``no-version``, ``version-destroyed``, ``version-current``."""

    def moved(secret: Secret) -> Changed:
        if command.to == secret.current:
            return Failure(VERSION_CURRENT)
        return readable(secret, command.to).map(
            lambda version: (
                secrets.keep(attrs.evolve(secret, current=version.number, previous=secret.current)),
                (),
            )
        )

    return secrets.live(command.environment, command.name).bind(moved)


def destroy(secrets: Secrets, at: int, command: Destroy) -> Changed:
    """Refusals: ``no-secret``, ``no-version``, ``version-destroyed``, ``version-current``."""
    secret = secrets.find(command.environment, command.name)
    if secret is None:
        return Failure(NO_SECRET)
    if command.version == secret.current:
        return Failure(VERSION_CURRENT)

    def gone(version: Version) -> tuple[Secrets, tuple[Effect, ...]]:
        versions = tuple(attrs.evolve(v, destroyed_at=at) if v is version else v for v in secret.versions)
        previous = None if secret.previous == version.number else secret.previous
        kept = secrets.keep(attrs.evolve(secret, versions=versions, previous=previous))
        return kept, (EraseRecord(secret.id, version.number),)

    return readable(secret, command.version).map(gone)


def delete(secrets: Secrets, at: int, command: Delete) -> Changed:
    """Refusals: ``no-secret``, ``secret-deleted``."""
    return secrets.live(command.environment, command.name).map(
        lambda secret: (secrets.keep(attrs.evolve(secret, deleted_at=at)), ())
    )


def undelete(secrets: Secrets, command: Undelete) -> Changed:
    """Refusals: ``no-secret``, ``not-deleted``."""
    secret = secrets.find(command.environment, command.name)
    if secret is None:
        return Failure(NO_SECRET)
    if secret.deleted_at is None:
        return Failure(NOT_DELETED)
    return Success((secrets.keep(attrs.evolve(secret, deleted_at=None)), ()))


def erase(secrets: Secrets, command: Erase) -> Changed:
    """Refusals: ``no-secret``."""
    secret = secrets.find(command.environment, command.name)
    if secret is None:
        return Failure(NO_SECRET)
    effects = tuple(EraseRecord(secret.id, v.number) for v in secret.versions if v.destroyed_at is None)
    key = (secret.environment, secret.name)
    return Success((Secrets(secrets.by_id.delete(secret.id), secrets.ids.delete(key)), effects))
