"""The kill switch: sealing the vault against every agent, by one entry, until an operator unseals it.

Sealing ends every lease. Grants stay as they are, so that unsealing brings access back and no lease.
"""

from typing import Literal

import attrs
from returns.result import Failure, Result, Success

from ironsecrets.identifiers import Micros, PersonName, PersonNameField
from ironsecrets.metadata import Reason
from ironsecrets.refusals import Refusal

VAULT_SEALED = Refusal("vault-sealed", "the vault is sealed against every agent until an operator unseals it")
ALREADY_SEALED = Refusal("already-sealed", "the vault is sealed already")
NOT_SEALED = Refusal("not-sealed", "the vault is not sealed")


@attrs.frozen(kw_only=True)
class Seal:
    """End every lease and refuse every agent."""

    reason: Reason | None = None
    type: Literal["seal"] = "seal"


@attrs.frozen(kw_only=True)
class Unseal:
    """Let agents ask again."""

    type: Literal["unseal"] = "unseal"


@attrs.frozen(kw_only=True)
class Sealed:
    """Since when, by whom and why the vault is sealed."""

    at: Micros
    by: PersonNameField
    reason: Reason | None


def seal(sealed: Sealed | None, at: int, by: PersonName, command: Seal) -> Result[Sealed, Refusal]:
    """Refusals: ``already-sealed``."""
    return Failure(ALREADY_SEALED) if sealed is not None else Success(Sealed(at=at, by=by, reason=command.reason))


def unseal(sealed: Sealed | None) -> Result[None, Refusal]:
    """Refusals: ``not-sealed``."""
    return Failure(NOT_SEALED) if sealed is None else Success(None)
