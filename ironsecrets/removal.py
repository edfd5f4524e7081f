"""Taking away: destroying a version's record for good, hiding a secret, erasing it whole."""

from typing import Literal

import attrs
from returns.result import Failure, Success

from ironsecrets.effects import Effect, EraseRecord
from ironsecrets.frozen import evolve
from ironsecrets.identifiers import EnvironmentField, Ordinal, SecretNameField
from ironsecrets.secrets import (
    NO_SECRET,
    NOT_DELETED,
    VERSION_CURRENT,
    VERSION_PENDING,
    Changed,
    Secrets,
    Version,
    readable,
    without,
)


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


def destroy(secrets: Secrets, at: int, command: Destroy) -> Changed:
    """Refusals: ``no-secret``, ``no-version``, ``version-destroyed``, ``version-current``, ``version-pending``."""
    secret = secrets.find(command.environment, command.name)
    if secret is None:
        return Failure(NO_SECRET)
    if command.version == secret.current:
        return Failure(VERSION_CURRENT)
    if command.version == secret.pending:
        return Failure(VERSION_PENDING)

    def gone(version: Version) -> tuple[Secrets, tuple[Effect, ...]]:
        return secrets.keep(without(secret, version.number, at)), (EraseRecord(secret.id, version.number),)

    return readable(secret, command.version).map(gone)


def delete(secrets: Secrets, at: int, command: Delete) -> Changed:
    """Refusals: ``no-secret``, ``secret-deleted``."""
    return secrets.live(command.environment, command.name).map(
        lambda secret: (secrets.keep(evolve(secret, deleted_at=at)), ())
    )


def undelete(secrets: Secrets, command: Undelete) -> Changed:
    """Refusals: ``no-secret``, ``not-deleted``."""
    secret = secrets.find(command.environment, command.name)
    if secret is None:
        return Failure(NO_SECRET)
    if secret.deleted_at is None:
        return Failure(NOT_DELETED)
    return Success((secrets.keep(evolve(secret, deleted_at=None)), ()))


def erase(secrets: Secrets, command: Erase) -> Changed:
    """Refusals: ``no-secret``."""
    secret = secrets.find(command.environment, command.name)
    if secret is None:
        return Failure(NO_SECRET)
    effects = tuple(EraseRecord(secret.id, v.number) for v in secret.versions if v.destroyed_at is None)
    key = (secret.environment, secret.name)
    return Success((Secrets(secrets.by_id.delete(secret.id), secrets.ids.delete(key)), effects))
