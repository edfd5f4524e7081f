"""Who asks, and what each may ask for at all.

An **operator** administers and may read full values. A **viewer** may list and read masked values. An **agent**
may only use what it was granted, and only ever under its own id. Which secrets an agent may lease is decided in
:mod:`ironsecrets.grants`; this module answers the coarser question that comes first.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Literal, assert_never

import attrs
import msgspec
from returns.result import Failure, Result, Success

from ironsecrets.identifiers import (
    AGENT_PATTERN,
    PERSON_PATTERN,
    AgentId,
    Micros,
    PersonName,
    TokenId,
    TokenIdField,
)
from ironsecrets.refusals import Refusal

BUDGET_PATTERN = r"\Abudget_[a-z0-9]{6,32}\Z"
PERMISSION_PATTERN = r"\A[a-z][a-z0-9_.-]*(?::[a-z0-9_.-]+)*\Z"
PERMISSION_LIMIT = 64

PermissionField = Annotated[str, msgspec.Meta(pattern=PERMISSION_PATTERN, max_length=64)]
"""What a token may carry and a grant may ask for, such as ``llm:call``. It covers itself and nothing else."""

BAD_PERMISSION = Refusal(
    "bad-permission", "a permission is lower-case words of letters, digits, '_', '.' or '-' with ':' between: llm:call"
)
NOT_PERMITTED = Refusal("not-permitted", "this principal may not ask for that at all")


@attrs.frozen
class Operator:
    """A person or service that administers the vault."""

    name: PersonName


@attrs.frozen
class Viewer:
    """A person or service that may see names and masked values, and change nothing."""

    name: PersonName


@attrs.frozen(kw_only=True)
class Claims:
    """What a token says of its agent: a budget, permissions (sorted, each once), and when it ends.

    It is in force until just before ``expires_at``, in microseconds since the Unix epoch; None never ends.
    """

    budget: Annotated[str, msgspec.Meta(pattern=BUDGET_PATTERN)] | None = None
    expires_at: Micros | None = None
    permissions: Annotated[tuple[PermissionField, ...], msgspec.Meta(max_length=PERMISSION_LIMIT)] = ()


@attrs.frozen
class Agent:
    """An agent. ``token`` is the id of the token it proved to hold, or None where a trusted host vouches.

    ``claims`` is what that token, or the host, says of it beside its id.
    """

    id: AgentId
    token: TokenId | None = None
    claims: Claims | None = None

    def may(self, permission: str | None) -> bool:
        """Whether it carries ``permission``. None asks for none."""
        return permission is None or (self.claims is not None and permission in self.claims.permissions)


Principal = Operator | Viewer | Agent
Role = Literal["operator", "viewer", "agent"]

_AGENT_ID = re.compile(AGENT_PATTERN)
_ANYONE: frozenset[Role] = frozenset({"operator", "viewer", "agent"})
_OPERATOR: frozenset[Role] = frozenset({"operator"})
_READERS: frozenset[Role] = frozenset({"operator", "viewer"})
_AGENT: frozenset[Role] = frozenset({"agent"})

MATRIX: dict[str, frozenset[Role]] = {
    "create": _OPERATOR,
    "put": _OPERATOR,
    "describe": _OPERATOR,
    "rollback": _OPERATOR,
    "destroy": _OPERATOR,
    "delete": _OPERATOR,
    "undelete": _OPERATOR,
    "erase": _OPERATOR,
    "set-rotation": _OPERATOR,
    "clear-rotation": _OPERATOR,
    "rotation-start": _OPERATOR,
    "rotation-create": _OPERATOR,
    "rotation-set": _OPERATOR,
    "rotation-test": _OPERATOR,
    "rotation-finish": _OPERATOR,
    "rotation-fail": _OPERATOR,
    "rotation-abort": _OPERATOR,
    "rotation-aborted": _OPERATOR,
    "reveal": _OPERATOR,
    "mask": _READERS,
    "list": _READERS,
    "enroll": _OPERATOR,
    "suspend": _OPERATOR,
    "resume": _OPERATOR,
    "remove": _OPERATOR,
    "limit-agent": _OPERATOR,
    "set-suspension-policy": _OPERATOR,
    "grant": _OPERATOR,
    "break-glass": _OPERATOR,
    "revoke": _OPERATOR,
    "revoke-agent": _OPERATOR,
    "revoke-all": _OPERATOR,
    "revoke-lease": _OPERATOR,
    "request-access": _AGENT,
    "approve-request": _OPERATOR,
    "decline-request": _OPERATOR,
    "set-request-policy": _OPERATOR,
    "seal": _OPERATOR,
    "unseal": _OPERATOR,
    "lease": _AGENT,
    "renew": _AGENT,
    "release": _AGENT,
    "open-epoch": _OPERATOR,
    "rewrap": _OPERATOR,
    "retire-epoch": _OPERATOR,
    "set-key-policy": _OPERATOR,
    "add-slot": _OPERATOR,
    "remove-slot": _OPERATOR,
    "change-slot": _OPERATOR,
    "rekey": _OPERATOR,
    "archive": _OPERATOR,
    "restore": _OPERATOR,
}
"""Command type to the roles that may ask for it. What does not stand here is permitted to nobody."""


def role_of(principal: Principal) -> Role:
    """The role whose column of :data:`MATRIX` applies."""
    match principal:
        case Operator():
            return "operator"
        case Viewer():
            return "viewer"
        case Agent():
            return "agent"
        case _:
            assert_never(principal)


def may_ask(principal: Principal, command_type: str) -> bool:
    """Whether ``principal`` may ask for commands of this type at all."""
    return role_of(principal) in MATRIX.get(command_type, frozenset())


@attrs.frozen(kw_only=True)
class PrincipalFields:
    """A principal as it stands in an audit entry: ``{"claims", "id", "token", "type"}``."""

    claims: Claims | None
    id: Annotated[str, msgspec.Meta(pattern=f"(?:{PERSON_PATTERN})|(?:{AGENT_PATTERN})")]
    token: TokenIdField | None
    type: Role


def principal_fields(principal: Principal) -> PrincipalFields:
    """The form for the log."""
    match principal:
        case Operator(name) | Viewer(name):
            return PrincipalFields(claims=None, id=name, token=None, type=role_of(principal))
        case Agent(agent, token, claims):
            return PrincipalFields(claims=claims, id=agent, token=token, type="agent")
        case _:
            assert_never(principal)


def principal_from(fields: PrincipalFields) -> Principal | None:
    """The principal an entry names, or None where its fields do not fit together."""
    if fields.claims is None:
        return _without_claims(fields.type, fields.id, fields.token)
    if fields.type != "agent" or not _AGENT_ID.match(fields.id):
        return None
    return Agent(AgentId(fields.id), fields.token, fields.claims)


@lru_cache(maxsize=4096)
def _without_claims(kind: Role, name: str, token: TokenId | None) -> Principal | None:
    # Few ask for much: replay meets the same ones again and again.
    match kind:
        case "agent" if _AGENT_ID.match(name):
            return Agent(AgentId(name), token)
        case "operator" if token is None:
            return Operator(PersonName(name))
        case "viewer" if token is None:
            return Viewer(PersonName(name))
        case _:
            return None


def parse_permissions(texts: Iterable[str]) -> Result[tuple[str, ...], Refusal]:
    """Permissions, sorted and each once. Refusals: ``bad-permission``."""
    try:
        found = tuple(sorted(set(texts)))
        return Success(msgspec.convert(found, Annotated[tuple[PermissionField, ...], msgspec.Meta(max_length=64)]))
    except (msgspec.ValidationError, TypeError):
        return Failure(BAD_PERMISSION)
