"""Every refusal by its code, for readers of a log who want the line for people."""

from types import ModuleType

from ironsecrets import (
    agents,
    checkpoint,
    epochs,
    grants,
    identifiers,
    ip_tokens,
    leases,
    merkle,
    metadata,
    principals,
    rotation,
    schedules,
    sealing,
    secrets,
    slots,
    vault,
)
from ironsecrets.refusals import Refusal

_MODULES: tuple[ModuleType, ...] = (
    agents,
    checkpoint,
    epochs,
    grants,
    identifiers,
    ip_tokens,
    leases,
    merkle,
    metadata,
    principals,
    rotation,
    schedules,
    sealing,
    secrets,
    slots,
    vault,
)

REFUSALS: dict[str, Refusal] = {
    value.code: value for module in _MODULES for value in vars(module).values() if isinstance(value, Refusal)
}
"""Code to refusal."""
