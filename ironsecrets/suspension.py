"""Automatic suspension: an agent that is refused too often is suspended, by the decision that refused it.

What counts is what a well-behaved agent does not run into again and again: asking for what it was not granted.
Running into a rate limit, coming outside the hours, and whatever befalls an agent that is not admitted do not
count. The count is a leaky bucket whose state is one moment, as in :mod:`ironsecrets.rates`.
"""

from typing import Annotated, Literal

import attrs
import msgspec

from ironsecrets.agents import AgentRecord, Agents
from ironsecrets.frozen import evolve
from ironsecrets.identifiers import AgentId
from ironsecrets.rates import RATE_BURST, Per, Rate, conforms, counted

COUNTED = frozenset(
    {
        "no-grant",
        "not-permitted",
        "permission-missing",
        "ttl-too-long",
        "grant-expired",
        "grant-used-up",
        "unknown-lease",
    }
)
"""The refusals that count, by code."""


@attrs.frozen(kw_only=True)
class SuspensionPolicy:
    """Suspend who is refused more than ``refusals`` times at once; the count drains evenly ``within`` microseconds."""

    refusals: Annotated[int, msgspec.Meta(ge=1, le=RATE_BURST)]
    within: Per

    def rate(self) -> Rate:
        """The same as a rate."""
        return Rate(burst=self.refusals, count=self.refusals, per=self.within)


DEFAULT_POLICY = SuspensionPolicy(refusals=20, within=600_000_000)
"""Twenty refusals in ten minutes."""


@attrs.frozen(kw_only=True)
class SetSuspensionPolicy:
    """When agents are suspended by themselves; None: never."""

    policy: SuspensionPolicy | None
    type: Literal["set-suspension-policy"] = "set-suspension-policy"


def struck(policy: SuspensionPolicy | None, record: AgentRecord, at: int) -> AgentRecord:
    """An admitted agent after a refusal that counts: as it was, with one refusal more, or suspended."""
    if policy is None:
        return record
    if conforms(policy.rate(), record.strikes, at):
        return evolve(record, strikes=counted(policy.rate(), record.strikes, at))
    return evolve(record, suspended_at=at, suspended_for="refusals")


def newly_suspended(before: Agents, after: Agents, agent: AgentId) -> bool:
    """Whether ``agent`` was suspended between two states."""
    was, now = before.by_id.get(agent), after.by_id.get(agent)
    return was is not None and now is not None and was.suspended_at is None and now.suspended_at is not None
