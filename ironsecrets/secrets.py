"""Secrets: a name in an environment, with numbered versions, their labels and their metadata.

A put makes a new version ``current``; the former one becomes ``previous``. A rollback moves the labels and
creates nothing. How versions and secrets end stands in :mod:`ironsecrets.removal`, how a value is rotated in
:mod:`ironsecrets.rotation`.
"""

from typing import Literal, Protocol

import attrs
from immutables import Map
from returns.result import Failure, Result, Success

from ironsecrets.effects import Effect, EraseRecord, KeepRecord
from ironsecrets.frozen import evolve
from ironsecrets.identifiers import (
    LATEST_TIME,
    Digest,
    DigestField,
    Environment,
    EnvironmentField,
    Micros,
    Ordinal,
    PersonNameField,
    RotationIdField,
    RotatorNameField,
    SecretId,
    SecretIdField,
    SecretName,
    SecretNameField,
    Size,
)
from ironsecrets.metadata import Description, Provider, Tags, Variable
from ironsecrets.refusals import Refusal, decided
from ironsecrets.schedules import RotationPolicy

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
VERSION_PENDING = Refusal("version-pending", "that version is pending; finish or abort the rotation instead")
NO_PREVIOUS = Refusal("no-previous", "no previous version answers: there is none, or its overlap window is over")
ROTATION_IN_PROGRESS = Refusal("rotation-in-progress", "the secret is being rotated; finish or abort that first")
STALE_EPOCH = Refusal("stale-epoch", "the record is sealed under an epoch that is not current")
TOO_MANY_VERSIONS = Refusal("too-many-versions", "the secret has a million versions; erase it and start anew")


Label = Literal["current", "previous"]
FailureReason = Literal["failed", "timed-out", "bad-output"]


@attrs.frozen(kw_only=True)
class Version:
    """One numbered value of a secret: where its record is sealed, never the value."""

    by: PersonNameField
    created_at: Micros
    destroyed_at: Micros | None = None
    digest: DigestField
    epoch: Ordinal
    expires_at: Micros | None = None
    number: Ordinal


@attrs.frozen(kw_only=True)
class Rotation:
    """A rotation in progress: the last of its steps that is done (``abort``: it is being put back), and the pending
    version once there is one."""

    id: RotationIdField
    rotator: RotatorNameField
    started_at: Micros
    step: Literal["start", "create", "set", "test", "abort"] = "start"
    version: Ordinal | None = None


@attrs.frozen(kw_only=True)
class Failed:
    """The last attempt at a rotation that failed, and how many have failed since the value became current."""

    at: Micros
    count: Size
    reason: FailureReason
    step: Literal["create", "set", "test", "finish", "abort"]


@attrs.frozen(kw_only=True)
class Secret:
    """A secret and its labels. ``versions[n - 1]`` is version n.

    ``previous`` answers under a lease until just before ``previous_until``. ``current_since`` is when the current
    version became that.
    """

    created_at: Micros
    current: Ordinal
    current_since: Micros
    deleted_at: Micros | None = None
    description: Description = ""
    environment: EnvironmentField
    failed: Failed | None = None
    id: SecretIdField
    name: SecretNameField
    policy: RotationPolicy | None = None
    previous: Ordinal | None = None
    previous_until: Micros | None = None
    provider: Provider | None = None
    rotation: Rotation | None = None
    tags: Tags = ()
    variable: Variable | None = None
    versions: tuple[Version, ...]

    def version(self, number: int) -> Version | None:
        """Version ``number``, or None."""
        return self.versions[number - 1] if 1 <= number <= len(self.versions) else None

    @property
    def pending(self) -> int | None:
        """The version that a rotation has made and not finished."""
        return None if self.rotation is None else self.rotation.version

    def label(self, number: int) -> str:
        """``current``, ``previous``, ``pending`` or nothing."""
        return {self.current: "current", self.previous: "previous", self.pending: "pending"}.get(number, "")

    def promoted(self, number: int, at: int) -> "Secret":
        """With version ``number`` current, and the one before answering for the policy's overlap."""
        overlap = 0 if self.policy is None else self.policy.overlap
        return evolve(
            self,
            current=number,
            current_since=at,
            failed=None,
            previous=self.current,
            previous_until=min(at + overlap, LATEST_TIME) if overlap else None,
            rotation=None,
        )


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

    def kept(self, environment: Environment, name: SecretName) -> Secret | Refusal:
        """The secret, unless it is missing or deleted. Refusals: ``no-secret``, ``secret-deleted``."""
        secret = self.find(environment, name)
        if secret is None:
            return NO_SECRET
        return secret if secret.deleted_at is None else SECRET_DELETED

    def live(self, environment: Environment, name: SecretName) -> Result[Secret, Refusal]:
        """:meth:`kept` as a ``Result``."""
        return decided(self.kept(environment, name))

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
    expires_at: Micros | None = None
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


def _described(secret: Secret, command: Put | Describe) -> Secret:
    changes = {
        field: value
        for field in ("description", "provider", "tags", "variable")
        if (value := getattr(command, field)) is not None
    }
    return evolve(secret, **changes) if changes else secret


def next_version(secrets: Secrets, environment: Environment, name: SecretName, fresh: SecretId) -> tuple[SecretId, int]:
    """The id and number that the next version of this name gets; ``fresh`` where there is no secret yet."""
    secret = secrets.find(environment, name)
    return (fresh, 1) if secret is None else (secret.id, len(secret.versions) + 1)


def put(secrets: Secrets, at: int, by: PersonNameField, command: Put) -> Changed:
    """Refusals: ``secret-deleted``, ``rotation-in-progress``, ``stale-version``, ``too-many-versions``."""
    secret = secrets.find(command.environment, command.name)
    version = new_version(at, by, command)
    effects = (KeepRecord(command.secret, command.version, command.digest),)
    if secret is None:
        if command.version != 1 or command.secret in secrets.by_id:
            return Failure(STALE_VERSION)
        made = Secret(
            created_at=at,
            current=1,
            current_since=at,
            environment=command.environment,
            id=command.secret,
            name=command.name,
            versions=(version,),
        )
        return Success((secrets.keep(_described(made, command)), effects))
    if secret.deleted_at is not None:
        return Failure(SECRET_DELETED)
    if secret.rotation is not None:
        return Failure(ROTATION_IN_PROGRESS)
    left, erased = outlived(secret, at)
    return follows(secret, command).map(
        lambda _: (
            secrets.keep(_described(_with(left, version).promoted(version.number, at), command)),
            (*effects, *erased),
        )
    )


def without(secret: Secret, number: int, at: int) -> Secret:
    """``secret`` with version ``number`` destroyed, and without the label it had."""
    versions = tuple(evolve(v, destroyed_at=at) if v.number == number else v for v in secret.versions)
    if secret.previous == number:
        return evolve(secret, versions=versions, previous=None, previous_until=None)
    return evolve(secret, versions=versions)


def outlived(secret: Secret, at: int) -> tuple[Secret, tuple[Effect, ...]]:
    """Before another version becomes current: without the previous one, where the policy destroys it.

    It loses its label then, and nobody would come to destroy it later.
    """
    if secret.previous is None or secret.policy is None or not secret.policy.destroy_previous:
        return secret, ()
    return without(secret, secret.previous, at), (EraseRecord(secret.id, secret.previous),)


def _with(secret: Secret, version: Version) -> Secret:
    return evolve(secret, versions=(*secret.versions, version))


class _Sealed(Protocol):
    @property
    def digest(self) -> Digest: ...
    @property
    def epoch(self) -> int: ...
    @property
    def expires_at(self) -> int | None: ...
    @property
    def secret(self) -> SecretId: ...
    @property
    def version(self) -> int: ...


def new_version(at: int, by: PersonNameField, command: _Sealed) -> Version:
    """The version that a command with a sealed record makes."""
    return Version(
        by=by,
        created_at=at,
        digest=command.digest,
        epoch=command.epoch,
        expires_at=command.expires_at,
        number=command.version,
    )


def follows(secret: Secret, command: _Sealed) -> Result[Secret, Refusal]:
    """The secret, if the command's version is its next. Refusals: ``stale-version``, ``too-many-versions``."""
    if secret.id != command.secret or command.version != len(secret.versions) + 1:
        return Failure(STALE_VERSION)
    return Failure(TOO_MANY_VERSIONS) if len(secret.versions) >= VERSION_LIMIT else Success(secret)


def describe(secrets: Secrets, command: Describe) -> Changed:
    """Refusals: ``no-secret``, ``secret-deleted``."""
    return secrets.live(command.environment, command.name).map(
        lambda secret: (secrets.keep(_described(secret, command)), ())
    )


def intact(secret: Secret, number: int | None) -> Version | Refusal:
    """Version ``number`` (None: current), unless it is gone. Refusals: ``no-version``, ``version-destroyed``."""
    version = secret.version(secret.current if number is None else number)
    if version is None:
        return NO_VERSION
    return version if version.destroyed_at is None else VERSION_DESTROYED


def readable(secret: Secret, number: int | None) -> Result[Version, Refusal]:
    """:func:`intact` as a ``Result``."""
    return decided(intact(secret, number))


def answering(secret: Secret, label: Label, at: int) -> Version | Refusal:
    """The version that answers to ``label`` under a lease at ``at``. Refusals: ``no-previous``, those of reading."""
    if label == "current":
        return intact(secret, None)
    if secret.previous is None or secret.previous_until is None or at >= secret.previous_until:
        return NO_PREVIOUS
    return intact(secret, secret.previous)


def rollback(secrets: Secrets, at: int, command: Rollback) -> Changed:
    """What was current until now was a mistake: as the previous version it does not answer.

    Refusals: ``no-secret``, ``secret-deleted``, ``rotation-in-progress``, ``no-version``, ``version-destroyed``,
    ``version-current``.
    """

    def moved(secret: Secret) -> Changed:
        if secret.rotation is not None:
            return Failure(ROTATION_IN_PROGRESS)
        if command.to == secret.current:
            return Failure(VERSION_CURRENT)
        return readable(secret, command.to).map(
            lambda version: (
                secrets.keep(evolve(secret.promoted(version.number, at), previous_until=None)),
                (),
            )
        )

    return secrets.live(command.environment, command.name).bind(moved)
