"""Every refusal by its code, for readers of a log who want the line for people."""

from types import ModuleType

from ironsecrets import (
    access_requests,
    agents,
    checkpoint,
    conditions,
    delivery,
    epochs,
    grants,
    ic_tokens,
    identifiers,
    ip_tokens,
    kill_switch,
    leases,
    merkle,
    metadata,
    principals,
    rates,
    retention,
    rotation,
    schedules,
    sealing,
    secrets,
    slots,
    vault,
    windows,
    zones,
)
from ironsecrets.refusals import Refusal

_MODULES: tuple[ModuleType, ...] = (
    access_requests,
    agents,
    checkpoint,
    conditions,
    delivery,
    epochs,
    grants,
    identifiers,
    ic_tokens,
    ip_tokens,
    kill_switch,
    leases,
    merkle,
    metadata,
    principals,
    rates,
    retention,
    rotation,
    schedules,
    sealing,
    secrets,
    slots,
    vault,
    windows,
    zones,
)

REFUSALS: dict[str, Refusal] = {
    value.code: value for module in _MODULES for value in vars(module).values() if isinstance(value, Refusal)
}
"""Code to refusal."""
