"""Reading outside a lease: what operators and viewers may see, each look an entry in the log."""

from typing import Literal

import attrs
from returns.result import Result, Success

from ironsecrets.effects import Effect, Reveal
from ironsecrets.identifiers import EnvironmentField, Ordinal, SecretNameField
from ironsecrets.refusals import Refusal
from ironsecrets.secrets import Secret, Secrets, readable


@attrs.frozen(kw_only=True)
class RevealValue:
    """An operator reads a full value; ``version`` None means the current one."""

    environment: EnvironmentField
    name: SecretNameField
    type: Literal["reveal"] = "reveal"
    version: Ordinal | None = None


@attrs.frozen(kw_only=True)
class MaskValue:
    """An operator or viewer sees that a value exists, masked."""

    environment: EnvironmentField
    name: SecretNameField
    type: Literal["mask"] = "mask"
    version: Ordinal | None = None


@attrs.frozen(kw_only=True)
class ListEntries:
    """An operator or viewer lists secrets, a secret's history, agents, grants, leases, rotations or access requests.

    ``environment`` None means all; ``name`` is for ``history`` only.
    """

    environment: EnvironmentField | None = None
    name: SecretNameField | None = None
    type: Literal["list"] = "list"
    what: Literal["secrets", "history", "agents", "grants", "leases", "requests", "rotations"]


def looked(secrets: Secrets, command: RevealValue | MaskValue | ListEntries) -> Result[tuple[Effect, ...], Refusal]:
    """What a look discloses. Refusals: those of :func:`read` and :func:`listing`."""
    return listing(secrets, command) if isinstance(command, ListEntries) else read(secrets, command)


def read(secrets: Secrets, command: RevealValue | MaskValue) -> Result[tuple[Effect, ...], Refusal]:
    """Refusals: ``no-secret``, ``secret-deleted``, ``no-version``, ``version-destroyed``."""

    def shown(secret: Secret) -> Result[tuple[Effect, ...], Refusal]:
        return readable(secret, command.version).map(
            lambda version: (Reveal(secret.id, version.number, version.digest),)
        )

    return secrets.live(command.environment, command.name).bind(shown)


def listing(secrets: Secrets, command: ListEntries) -> Result[tuple[Effect, ...], Refusal]:
    """Refusals: for ``history``, ``no-secret`` and ``secret-deleted``."""
    if command.what != "history" or command.environment is None or command.name is None:
        return Success(())
    return secrets.live(command.environment, command.name).map(lambda _: ())
