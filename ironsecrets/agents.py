"""Agents: who may be granted anything, and the one token each may hold.

A token is ``isa_<token id>_<secret>``: 64 random bits that find the agent, 256 that prove it. Only SHA-256 of
the whole is kept, compared in constant time; the log holds the same digest, from which nothing can be guessed.
An agent that is only named in a grant exists too, without a token; a trusted host may act for it.
"""

import hashlib
import hmac
import re
from typing import Literal

import attrs
from immutables import Map
from returns.result import Failure, Result, Success

from ironsecrets.encoding import length_prefixed
from ironsecrets.frozen import evolve
from ironsecrets.identifiers import AgentId, AgentIdField, Digest, DigestField, Micros, TokenId, TokenIdField
from ironsecrets.principals import Agent
from ironsecrets.rates import Rate, Tat
from ironsecrets.refusals import Refusal

UNKNOWN_AGENT = Refusal("unknown-agent", "there is no such agent; add it first")
AGENT_EXISTS = Refusal("agent-exists", "the agent already holds a token; ask for a new one to replace it")
AGENT_SUSPENDED = Refusal("agent-suspended", "the agent is suspended")
NOT_SUSPENDED = Refusal("not-suspended", "the agent is not suspended")
TOKEN_REVOKED = Refusal("token-revoked", "that is not the agent's valid token: it was replaced, or never enrolled")
TOKEN_TAKEN = Refusal("token-taken", "that token id is already in use")
TOKEN_EXPIRED = Refusal("token-expired", "that token has expired; ask for a new one")
AGENT_RATE_LIMITED = Refusal("agent-rate-limited", "the agent has had too many leases in too short a time; try later")
BAD_TOKEN = Refusal("bad-token", "that is not the valid token of any agent")

_TOKEN = re.compile(r"isa_([0-9a-f]{16})_([0-9a-f]{64})")


@attrs.frozen(kw_only=True)
class AgentRecord:
    """An agent as the state knows it. ``tat`` and ``strikes`` are theoretical arrival times: of leases within
    ``rate``, and of refusals (:mod:`ironsecrets.suspension`)."""

    created_at: Micros
    digest: DigestField | None = None
    id: AgentIdField
    rate: Rate | None = None
    strikes: Tat = 0
    suspended_at: Micros | None = None
    suspended_for: Literal["operator", "refusals"] | None = None
    tat: Tat = 0
    token: TokenIdField | None = None


@attrs.frozen
class Agents:
    """All agents by id, and the ids by token id."""

    by_id: Map[AgentId, AgentRecord] = Map()
    by_token: Map[TokenId, AgentId] = Map()

    def known(self, agent: AgentId, at: int) -> "Agents":
        """With ``agent`` in it: as it is, or new and without a token."""
        if agent in self.by_id:
            return self
        return self.keep(AgentRecord(id=agent, created_at=at))

    def keep(self, record: AgentRecord) -> "Agents":
        """With ``record`` in it; its token is not looked at."""
        return Agents(self.by_id.set(record.id, record), self.by_token)


@attrs.frozen(kw_only=True)
class Enroll:
    """Give an agent its token. ``replace`` allows an agent that already holds one; the old one ends."""

    agent: AgentIdField
    digest: DigestField
    replace: bool = False
    token: TokenIdField
    type: Literal["enroll"] = "enroll"


@attrs.frozen(kw_only=True)
class Suspend:
    """Refuse an agent everything, and end its leases, until it is resumed."""

    agent: AgentIdField
    type: Literal["suspend"] = "suspend"


@attrs.frozen(kw_only=True)
class Resume:
    """End a suspension. Leases that the suspension ended stay ended."""

    agent: AgentIdField
    type: Literal["resume"] = "resume"


@attrs.frozen(kw_only=True)
class Remove:
    """Forget an agent with its token, grants and leases."""

    agent: AgentIdField
    type: Literal["remove"] = "remove"


@attrs.frozen(kw_only=True)
class LimitAgent:
    """How many leases an agent may have under all its grants together; None: as many as they allow."""

    agent: AgentIdField
    rate: Rate | None
    type: Literal["limit-agent"] = "limit-agent"


def token_text(draw: bytes) -> tuple[TokenId, str]:
    """A token made of 40 random bytes: its id, and its text, which is shown once."""
    token = TokenId(draw[:8].hex())
    return token, f"isa_{token}_{draw[8:40].hex()}"


def token_digest(text: str) -> Digest:
    """SHA-256 of a token, under its own label."""
    return Digest(hashlib.sha256(length_prefixed("ironsecrets/v1/agent-token", text)).hexdigest())


def authenticate(agents: Agents, text: str) -> Result[Agent, Refusal]:
    """The agent that holds this token. An unknown token costs the same work as a wrong one.

    Refusals: ``bad-token``, the same whether the token is malformed, unknown or wrong.
    """
    matched = _TOKEN.fullmatch(text) if len(text) <= 128 else None
    token = TokenId(matched[1]) if matched else TokenId("")
    agent = agents.by_token.get(token)
    record = None if agent is None else agents.by_id[agent]
    held = "0" * 64 if record is None or record.digest is None else record.digest
    same = hmac.compare_digest(token_digest(text if matched else ""), held)
    if record is None or not same:
        return Failure(BAD_TOKEN)
    return Success(Agent(record.id, token))


def admit(agents: Agents, at: int, agent: Agent) -> AgentRecord | Refusal:
    """The agent's record, if it may ask at this moment.

    Refusals: ``unknown-agent``, ``token-revoked``, ``token-expired``, ``agent-suspended``.
    """
    record = agents.by_id.get(agent.id)
    if record is None:
        return UNKNOWN_AGENT
    if agent.token is not None and agent.token != record.token:
        return TOKEN_REVOKED
    if agent.claims is not None and agent.claims.expires_at is not None and at >= agent.claims.expires_at:
        return TOKEN_EXPIRED
    return record if record.suspended_at is None else AGENT_SUSPENDED


def enroll(agents: Agents, at: int, command: Enroll) -> Result[Agents, Refusal]:
    """Refusals: ``agent-exists``, ``token-taken``."""
    grown = agents.known(command.agent, at)
    record = grown.by_id[command.agent]
    if command.token in agents.by_token:
        return Failure(TOKEN_TAKEN)
    if record.token is not None and not command.replace:
        return Failure(AGENT_EXISTS)
    by_token = agents.by_token if record.token is None else agents.by_token.delete(record.token)
    record = evolve(record, token=command.token, digest=command.digest)
    return Success(Agents(grown.by_id.set(record.id, record), by_token.set(command.token, record.id)))


def suspend(agents: Agents, at: int, command: Suspend) -> Result[Agents, Refusal]:
    """Refusals: ``unknown-agent``, ``agent-suspended``."""
    record = agents.by_id.get(command.agent)
    if record is None:
        return Failure(UNKNOWN_AGENT)
    if record.suspended_at is not None:
        return Failure(AGENT_SUSPENDED)
    return Success(agents.keep(evolve(record, suspended_at=at, suspended_for="operator")))


def resume(agents: Agents, command: Resume) -> Result[Agents, Refusal]:
    """The count of refusals begins anew. Refusals: ``unknown-agent``, ``not-suspended``."""
    record = agents.by_id.get(command.agent)
    if record is None:
        return Failure(UNKNOWN_AGENT)
    if record.suspended_at is None:
        return Failure(NOT_SUSPENDED)
    return Success(agents.keep(evolve(record, suspended_at=None, suspended_for=None, strikes=0)))


def limit(agents: Agents, command: LimitAgent) -> Result[Agents, Refusal]:
    """What was used counts under the new rate too. Refusals: ``unknown-agent``."""
    record = agents.by_id.get(command.agent)
    return Failure(UNKNOWN_AGENT) if record is None else Success(agents.keep(evolve(record, rate=command.rate)))


def remove(agents: Agents, command: Remove) -> Result[Agents, Refusal]:
    """Refusals: ``unknown-agent``."""
    record = agents.by_id.get(command.agent)
    if record is None:
        return Failure(UNKNOWN_AGENT)
    by_token = agents.by_token if record.token is None else agents.by_token.delete(record.token)
    return Success(Agents(agents.by_id.delete(record.id), by_token))
