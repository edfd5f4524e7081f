"""Who asks, and what each may ask for at all.

An **operator** administers and may read full values. A **viewer** may list and read masked values. An **agent**
may only use what it was granted, and only ever under its own id. Which secrets an agent may lease is decided in
:mod:`ironsecrets.grants`; this module answers the coarser question that comes first.
"""

from typing import Annotated, Literal, assert_never

import attrs
import msgspec

from ironsecrets.identifiers import (
    AGENT_PATTERN,
    PERSON_PATTERN,
    AgentId,
    PersonName,
    TokenId,
    TokenIdField,
    parse_agent_id,
)
from ironsecrets.refusals import Refusal

NOT_PERMITTED = Refusal("not-permitted", "this principal may not ask for that at all")


@attrs.frozen
class Operator:
    """A person or service that administers the vault."""

    name: PersonName


@attrs.frozen
class Viewer:
    """A person or service that may see names and masked values, and change nothing."""

    name: PersonName


@attrs.frozen
class Agent:
    """An agent. ``token`` is the id of the token it proved to hold, or None where a trusted host vouches."""

    id: AgentId
    token: TokenId | None = None


Principal = Operator | Viewer | Agent
Role = Literal["operator", "viewer", "agent"]

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
    "grant": _OPERATOR,
    "revoke": _OPERATOR,
    "revoke-agent": _OPERATOR,
    "revoke-all": _OPERATOR,
    "revoke-lease": _OPERATOR,
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
    """A principal as it stands in an audit entry: ``{"id", "token", "type"}``."""

    id: Annotated[str, msgspec.Meta(pattern=f"(?:{PERSON_PATTERN})|(?:{AGENT_PATTERN})")]
    token: TokenIdField | None
    type: Role


def principal_fields(principal: Principal) -> PrincipalFields:
    """The form for the log."""
    match principal:
        case Operator(name) | Viewer(name):
            return PrincipalFields(id=name, token=None, type=role_of(principal))
        case Agent(agent, token):
            return PrincipalFields(id=agent, token=token, type="agent")
        case _:
            assert_never(principal)


def principal_from(fields: PrincipalFields) -> Principal | None:
    """The principal an entry names, or None where its fields do not fit together."""
    match fields.type:
        case "agent":
            return parse_agent_id(fields.id).map(lambda agent: Agent(agent, fields.token)).value_or(None)
        case "operator" if fields.token is None:
            return Operator(PersonName(fields.id))
        case "viewer" if fields.token is None:
            return Viewer(PersonName(fields.id))
        case _:
            return None
