"""ironsecrets: an embeddable secrets vault for services that run AI agents.

``create_vault`` and ``open_vault`` give a :class:`Vault`; its handles do the rest. This front door resolves each
name when it is first used (PEP 562), so that importing costs little; the core itself imports no interpreter.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interpreters.agent_handle import AgentHandle
    from interpreters.archiving import Archiving, Shown
    from interpreters.async_handles import AsyncAgentHandle, AsyncLeaseHandle, AsyncOperatorHandle, AsyncViewerHandle
    from interpreters.async_vault import AsyncVault, create_vault_async, open_vault_async
    from interpreters.command_rotator import CommandRotator
    from interpreters.doors import create_vault, open_vault, restore_vault
    from interpreters.from_vault import FromVault
    from interpreters.grant_terms import TermOptions
    from interpreters.ic_tokens import Authoriser, ICTokens
    from interpreters.ip_tokens import IPTokenKey
    from interpreters.lease_handle import LeaseHandle
    from interpreters.moving import Moved
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
    from interpreters.upkeep import Backup, Compaction
    from interpreters.value_rotation import Rotated
    from interpreters.vault import Vault
    from interpreters.viewer_handle import ViewerHandle
    from interpreters.witness import FileWitness, Witness
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
    from ironsecrets.reach import Account, Attempt, Reach
    from ironsecrets.reading import ListEntries, MaskValue, RevealValue
    from ironsecrets.refusals import Refusal
    from ironsecrets.removal import Delete, Destroy, Erase, Undelete
    from ironsecrets.replaying import Divergence, replay
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

_ROOMS: dict[str, tuple[str, ...]] = {
    "interpreters.archiving": ("Archiving", "Shown"),
    "interpreters.moving": ("Moved",),
    "interpreters.upkeep": ("Backup", "Compaction"),
    "interpreters.witness": ("FileWitness", "Witness"),
    "ironsecrets.reach": ("Account", "Attempt", "Reach"),
    "interpreters.agent_handle": ("AgentHandle",),
    "interpreters.async_handles": (
        "AsyncAgentHandle",
        "AsyncLeaseHandle",
        "AsyncOperatorHandle",
        "AsyncViewerHandle",
    ),
    "interpreters.async_vault": (
        "AsyncVault",
        "create_vault_async",
        "open_vault_async",
    ),
    "interpreters.command_rotator": ("CommandRotator",),
    "interpreters.doors": (
        "create_vault",
        "open_vault",
        "restore_vault",
    ),
    "interpreters.from_vault": ("FromVault",),
    "interpreters.grant_terms": ("TermOptions",),
    "interpreters.ic_tokens": (
        "Authoriser",
        "ICTokens",
    ),
    "interpreters.ip_tokens": ("IPTokenKey",),
    "interpreters.lease_handle": ("LeaseHandle",),
    "interpreters.operator_handle": ("OperatorHandle",),
    "interpreters.outcome": (
        "Outcome",
        "Verification",
    ),
    "interpreters.redacting": (
        "RedactingFilter",
        "RedactingStream",
        "redact_event",
    ),
    "interpreters.rotation_handle": ("RotationHandle",),
    "interpreters.rotator_file": ("load_rotators",),
    "interpreters.rotators": (
        "CallableRotator",
        "NewValue",
        "Rotator",
        "Task",
    ),
    "interpreters.runtime_key": (
        "Delivered",
        "RuntimeKey",
    ),
    "interpreters.scheduler": (
        "Pass",
        "Scheduler",
    ),
    "interpreters.sinks": (
        "JsonLinesSink",
        "LoggingSink",
    ),
    "interpreters.subscriptions": ("Subscription",),
    "interpreters.supply": (
        "AsyncKeyProvider",
        "KeyProvider",
    ),
    "interpreters.value_rotation": ("Rotated",),
    "interpreters.vault": ("Vault",),
    "interpreters.viewer_handle": ("ViewerHandle",),
    "ironsecrets.access_requests": (
        "AccessRequest",
        "ApproveRequest",
        "DeclineRequest",
        "RequestAccess",
        "RequestPolicy",
        "SetRequestPolicy",
    ),
    "ironsecrets.agenda": ("Due",),
    "ironsecrets.agents": (
        "Enroll",
        "LimitAgent",
        "Remove",
        "Resume",
        "Suspend",
    ),
    "ironsecrets.conditions": (
        "Conditions",
        "Terms",
    ),
    "ironsecrets.delivery": (
        "Delivery",
        "parse_delivery",
    ),
    "ironsecrets.drafts": (
        "NewAccessRequest",
        "NewApproval",
        "NewBreakGlass",
        "NewGrant",
        "NewLease",
        "NewPending",
        "NewRotation",
        "NewToken",
        "NewVersion",
    ),
    "ironsecrets.errors": (
        "CannotUnlock",
        "IntegrityError",
        "NewerFormat",
        "NotAVault",
        "Refused",
        "RotationFailed",
        "StoreFull",
        "StoreUnavailable",
        "VaultBusy",
        "VaultClosed",
        "VaultError",
        "VaultExists",
        "VaultNotFound",
    ),
    "ironsecrets.events": ("Event",),
    "ironsecrets.grants": (
        "BreakGlass",
        "IssueGrant",
        "Revoke",
        "RevokeAgent",
        "RevokeAll",
    ),
    "ironsecrets.identifiers": (
        "parse_access_request_id",
        "parse_agent_id",
        "parse_environment",
        "parse_grant_id",
        "parse_lease_id",
        "parse_person_name",
        "parse_secret_name",
        "parse_selector",
    ),
    "ironsecrets.kill_switch": (
        "Seal",
        "Unseal",
    ),
    "ironsecrets.leases": (
        "OpenLease",
        "Release",
        "Renew",
        "RevokeLease",
    ),
    "ironsecrets.masking": ("mask",),
    "ironsecrets.principals": (
        "Agent",
        "Claims",
        "Operator",
        "Viewer",
    ),
    "ironsecrets.rates": ("Rate",),
    "ironsecrets.reading": (
        "ListEntries",
        "MaskValue",
        "RevealValue",
    ),
    "ironsecrets.refusals": ("Refusal",),
    "ironsecrets.removal": (
        "Delete",
        "Destroy",
        "Erase",
        "Undelete",
    ),
    "ironsecrets.replaying": (
        "Divergence",
        "replay",
    ),
    "ironsecrets.rotation": (
        "AbortRotation",
        "ClearRotation",
        "FailRotation",
        "FinishRotation",
        "MarkAborted",
        "MarkSet",
        "MarkTested",
        "SetRotation",
    ),
    "ironsecrets.schedules": ("RotationPolicy",),
    "ironsecrets.secrets": (
        "Describe",
        "Put",
        "Rollback",
    ),
    "ironsecrets.sensitive": ("Sensitive",),
    "ironsecrets.suspension": (
        "SetSuspensionPolicy",
        "SuspensionPolicy",
    ),
}
_DOORS = {name: room for room, names in _ROOMS.items() for name in names}


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
    "Account",
    "Agent",
    "AgentHandle",
    "ApproveRequest",
    "Archiving",
    "AsyncAgentHandle",
    "AsyncKeyProvider",
    "AsyncLeaseHandle",
    "AsyncOperatorHandle",
    "AsyncVault",
    "AsyncViewerHandle",
    "Attempt",
    "Authoriser",
    "Backup",
    "BreakGlass",
    "CallableRotator",
    "CannotUnlock",
    "Claims",
    "ClearRotation",
    "CommandRotator",
    "Compaction",
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
    "FileWitness",
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
    "Moved",
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
    "Reach",
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
    "Shown",
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
    "Witness",
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
    "restore_vault",
]
