"""ironsecrets: an embeddable secrets vault for services that run AI agents.

``create_vault`` and ``open_vault`` give a :class:`Vault`; its handles do the rest. This front door resolves
those few names from ``interpreters`` when they are first used (PEP 562); the core itself imports none of it.
"""

import importlib
from typing import TYPE_CHECKING, Any

from ironsecrets.agents import Enroll, Remove, Resume, Suspend
from ironsecrets.drafts import NewGrant, NewLease, NewToken, NewVersion
from ironsecrets.errors import (
    CannotUnlock,
    IntegrityError,
    NewerFormat,
    NotAVault,
    Refused,
    StoreFull,
    StoreUnavailable,
    VaultBusy,
    VaultClosed,
    VaultError,
    VaultExists,
    VaultNotFound,
)
from ironsecrets.grants import IssueGrant, Revoke, RevokeAgent, RevokeAll
from ironsecrets.identifiers import (
    parse_agent_id,
    parse_environment,
    parse_grant_id,
    parse_lease_id,
    parse_person_name,
    parse_secret_name,
    parse_selector,
)
from ironsecrets.leases import OpenLease, Release, Renew, RevokeLease
from ironsecrets.masking import mask
from ironsecrets.principals import Agent, Operator, Viewer
from ironsecrets.reading import ListEntries, MaskValue, RevealValue
from ironsecrets.refusals import Refusal
from ironsecrets.removal import Delete, Destroy, Erase, Undelete
from ironsecrets.replay import Divergence, replay
from ironsecrets.secrets import Describe, Put, Rollback
from ironsecrets.sensitive import Sensitive

if TYPE_CHECKING:
    from interpreters.doors import create_vault, open_vault
    from interpreters.handles import AgentHandle, OperatorHandle, ViewerHandle
    from interpreters.lease_handle import LeaseHandle
    from interpreters.outcome import Outcome, Verification
    from interpreters.sinks import JsonLinesSink, LoggingSink
    from interpreters.vault import Vault

_DOORS = {
    "create_vault": "interpreters.doors",
    "open_vault": "interpreters.doors",
    "Vault": "interpreters.vault",
    "Outcome": "interpreters.outcome",
    "Verification": "interpreters.outcome",
    "OperatorHandle": "interpreters.handles",
    "ViewerHandle": "interpreters.handles",
    "AgentHandle": "interpreters.handles",
    "LeaseHandle": "interpreters.lease_handle",
    "JsonLinesSink": "interpreters.sinks",
    "LoggingSink": "interpreters.sinks",
}


def __getattr__(name: str) -> Any:
    if name not in _DOORS:
        raise AttributeError(f"module 'ironsecrets' has no attribute {name!r}")
    found = getattr(importlib.import_module(_DOORS[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_DOORS})


__all__ = [
    "Agent",
    "AgentHandle",
    "CannotUnlock",
    "Delete",
    "Describe",
    "Destroy",
    "Divergence",
    "Enroll",
    "Erase",
    "IntegrityError",
    "IssueGrant",
    "JsonLinesSink",
    "LeaseHandle",
    "ListEntries",
    "LoggingSink",
    "MaskValue",
    "NewGrant",
    "NewLease",
    "NewToken",
    "NewVersion",
    "NewerFormat",
    "NotAVault",
    "OpenLease",
    "Operator",
    "OperatorHandle",
    "Outcome",
    "Put",
    "Refusal",
    "Refused",
    "Release",
    "Remove",
    "Renew",
    "Resume",
    "RevealValue",
    "Revoke",
    "RevokeAgent",
    "RevokeAll",
    "RevokeLease",
    "Rollback",
    "Sensitive",
    "StoreFull",
    "StoreUnavailable",
    "Suspend",
    "Undelete",
    "Vault",
    "VaultBusy",
    "VaultClosed",
    "VaultError",
    "VaultExists",
    "VaultNotFound",
    "Verification",
    "Viewer",
    "ViewerHandle",
    "create_vault",
    "mask",
    "open_vault",
    "parse_agent_id",
    "parse_environment",
    "parse_grant_id",
    "parse_lease_id",
    "parse_person_name",
    "parse_secret_name",
    "parse_selector",
    "replay",
]
