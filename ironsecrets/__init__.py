"""ironsecrets: an embeddable secrets vault for services that run AI agents.

``create_vault`` and ``open_vault`` give a :class:`Vault`; its handles do the rest. This front door resolves
those few names from ``interpreters`` when they are first used (PEP 562); the core itself imports none of it.
"""

import importlib
from typing import TYPE_CHECKING, Any

from ironsecrets.access_requests import (
    AccessRequest,
    ApproveRequest,
    DeclineRequest,
    RequestAccess,
    RequestPolicy,
    SetRequestPolicy,
)
from ironsecrets.agenda import Due
from ironsecrets.agents import Enroll, LimitAgent, Remove, Resume, Suspend
from ironsecrets.conditions import Conditions, Terms
from ironsecrets.delivery import Delivery, parse_delivery
from ironsecrets.drafts import (
    NewAccessRequest,
    NewApproval,
    NewBreakGlass,
    NewGrant,
    NewLease,
    NewPending,
    NewRotation,
    NewToken,
    NewVersion,
)
from ironsecrets.errors import (
    CannotUnlock,
    IntegrityError,
    NewerFormat,
    NotAVault,
    Refused,
    RotationFailed,
    StoreFull,
    StoreUnavailable,
    VaultBusy,
    VaultClosed,
    VaultError,
    VaultExists,
    VaultNotFound,
)
from ironsecrets.events import Event
from ironsecrets.grants import BreakGlass, IssueGrant, Revoke, RevokeAgent, RevokeAll
from ironsecrets.identifiers import (
    parse_access_request_id,
    parse_agent_id,
    parse_environment,
    parse_grant_id,
    parse_lease_id,
    parse_person_name,
    parse_secret_name,
    parse_selector,
)
from ironsecrets.kill_switch import Seal, Unseal
from ironsecrets.leases import OpenLease, Release, Renew, RevokeLease
from ironsecrets.masking import mask
from ironsecrets.principals import Agent, Claims, Operator, Viewer
from ironsecrets.rates import Rate
from ironsecrets.reading import ListEntries, MaskValue, RevealValue
from ironsecrets.refusals import Refusal
from ironsecrets.removal import Delete, Destroy, Erase, Undelete
from ironsecrets.replay import Divergence, replay
from ironsecrets.rotation import (
    AbortRotation,
    ClearRotation,
    FailRotation,
    FinishRotation,
    MarkAborted,
    MarkSet,
    MarkTested,
    SetRotation,
)
from ironsecrets.schedules import RotationPolicy
from ironsecrets.secrets import Describe, Put, Rollback
from ironsecrets.sensitive import Sensitive
from ironsecrets.suspension import SetSuspensionPolicy, SuspensionPolicy

if TYPE_CHECKING:
    from interpreters.agent_handle import AgentHandle
    from interpreters.async_handles import AsyncAgentHandle, AsyncLeaseHandle, AsyncOperatorHandle, AsyncViewerHandle
    from interpreters.async_vault import AsyncVault, create_vault_async, open_vault_async
    from interpreters.command_rotator import CommandRotator
    from interpreters.doors import create_vault, open_vault
    from interpreters.from_vault import FromVault
    from interpreters.grant_terms import TermOptions
    from interpreters.ic_tokens import Authoriser, ICTokens
    from interpreters.ip_tokens import IPTokenKey
    from interpreters.lease_handle import LeaseHandle
    from interpreters.operator_handle import OperatorHandle
    from interpreters.outcome import Outcome, Verification
    from interpreters.redacting import RedactingFilter, RedactingStream, redact_event
    from interpreters.rotation_handle import RotationHandle
    from interpreters.rotator_file import load_rotators
    from interpreters.rotators import CallableRotator, NewValue, Rotator, Task
    from interpreters.runtime_key import Delivered, RuntimeKey
    from interpreters.scheduler import Pass, Scheduler
    from interpreters.sinks import JsonLinesSink, LoggingSink
    from interpreters.subscriptions import Subscription
    from interpreters.supply import AsyncKeyProvider, KeyProvider
    from interpreters.value_rotation import Rotated
    from interpreters.vault import Vault
    from interpreters.viewer_handle import ViewerHandle

_DOORS = {
    "KeyProvider": "interpreters.supply",
    "AsyncKeyProvider": "interpreters.supply",
    "redact_event": "interpreters.redacting",
    "RedactingStream": "interpreters.redacting",
    "RedactingFilter": "interpreters.redacting",
    "RuntimeKey": "interpreters.runtime_key",
    "Delivered": "interpreters.runtime_key",
    "FromVault": "interpreters.from_vault",
    "AsyncViewerHandle": "interpreters.async_handles",
    "AsyncOperatorHandle": "interpreters.async_handles",
    "AsyncLeaseHandle": "interpreters.async_handles",
    "AsyncAgentHandle": "interpreters.async_handles",
    "open_vault_async": "interpreters.async_vault",
    "create_vault_async": "interpreters.async_vault",
    "AsyncVault": "interpreters.async_vault",
    "TermOptions": "interpreters.grant_terms",
    "ICTokens": "interpreters.ic_tokens",
    "Authoriser": "interpreters.ic_tokens",
    "create_vault": "interpreters.doors",
    "open_vault": "interpreters.doors",
    "Vault": "interpreters.vault",
    "Outcome": "interpreters.outcome",
    "Verification": "interpreters.outcome",
    "OperatorHandle": "interpreters.operator_handle",
    "ViewerHandle": "interpreters.viewer_handle",
    "AgentHandle": "interpreters.agent_handle",
    "LeaseHandle": "interpreters.lease_handle",
    "RotationHandle": "interpreters.rotation_handle",
    "IPTokenKey": "interpreters.ip_tokens",
    "Rotated": "interpreters.value_rotation",
    "Rotator": "interpreters.rotators",
    "CallableRotator": "interpreters.rotators",
    "CommandRotator": "interpreters.command_rotator",
    "NewValue": "interpreters.rotators",
    "Task": "interpreters.rotators",
    "load_rotators": "interpreters.rotator_file",
    "Scheduler": "interpreters.scheduler",
    "Pass": "interpreters.scheduler",
    "Subscription": "interpreters.subscriptions",
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
    "AbortRotation",
    "AccessRequest",
    "Agent",
    "AgentHandle",
    "ApproveRequest",
    "AsyncAgentHandle",
    "AsyncKeyProvider",
    "AsyncLeaseHandle",
    "AsyncOperatorHandle",
    "AsyncVault",
    "AsyncViewerHandle",
    "Authoriser",
    "BreakGlass",
    "CallableRotator",
    "CannotUnlock",
    "Claims",
    "ClearRotation",
    "CommandRotator",
    "Conditions",
    "DeclineRequest",
    "Delete",
    "Delivered",
    "Delivery",
    "Describe",
    "Destroy",
    "Divergence",
    "Due",
    "Enroll",
    "Erase",
    "Event",
    "FailRotation",
    "FinishRotation",
    "FromVault",
    "ICTokens",
    "IPTokenKey",
    "IntegrityError",
    "IssueGrant",
    "JsonLinesSink",
    "KeyProvider",
    "LeaseHandle",
    "LimitAgent",
    "ListEntries",
    "LoggingSink",
    "MarkAborted",
    "MarkSet",
    "MarkTested",
    "MaskValue",
    "NewAccessRequest",
    "NewApproval",
    "NewBreakGlass",
    "NewGrant",
    "NewLease",
    "NewPending",
    "NewRotation",
    "NewToken",
    "NewValue",
    "NewVersion",
    "NewerFormat",
    "NotAVault",
    "OpenLease",
    "Operator",
    "OperatorHandle",
    "Outcome",
    "Pass",
    "Put",
    "Rate",
    "RedactingFilter",
    "RedactingStream",
    "Refusal",
    "Refused",
    "Release",
    "Remove",
    "Renew",
    "RequestAccess",
    "RequestPolicy",
    "Resume",
    "RevealValue",
    "Revoke",
    "RevokeAgent",
    "RevokeAll",
    "RevokeLease",
    "Rollback",
    "Rotated",
    "RotationFailed",
    "RotationHandle",
    "RotationPolicy",
    "Rotator",
    "RuntimeKey",
    "Scheduler",
    "Seal",
    "Sensitive",
    "SetRequestPolicy",
    "SetRotation",
    "SetSuspensionPolicy",
    "StoreFull",
    "StoreUnavailable",
    "Subscription",
    "Suspend",
    "SuspensionPolicy",
    "Task",
    "TermOptions",
    "Terms",
    "Undelete",
    "Unseal",
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
    "create_vault_async",
    "load_rotators",
    "mask",
    "open_vault",
    "open_vault_async",
    "parse_access_request_id",
    "parse_agent_id",
    "parse_delivery",
    "parse_environment",
    "parse_grant_id",
    "parse_lease_id",
    "parse_person_name",
    "parse_secret_name",
    "parse_selector",
    "redact_event",
    "replay",
]
