"""The state of a vault: one frozen value made of each capability's part."""

import attrs
from immutables import Map
from returns.result import Result

from ironsecrets.access_requests import DEFAULT_REQUEST_POLICY, AccessRequests, RequestPolicy
from ironsecrets.agents import Agents
from ironsecrets.effects import Effect
from ironsecrets.epochs import DEFAULT_AGE, Epochs, Rewrapped
from ironsecrets.grants import Grants
from ironsecrets.identifiers import Digest, VaultId
from ironsecrets.kill_switch import Sealed
from ironsecrets.leases import Leases
from ironsecrets.merkle import Frontier
from ironsecrets.refusals import Refusal
from ironsecrets.retention import Segments, archived
from ironsecrets.secrets import Secrets
from ironsecrets.slots import Slots
from ironsecrets.suspension import DEFAULT_POLICY, SuspensionPolicy


@attrs.frozen(kw_only=True)
class Oversight:
    """What operators hold over agents, and over the log: requests and how they are settled, automatic suspension, the
    kill switch, and which entries are archived."""

    access_requests: AccessRequests = AccessRequests()
    request_policy: RequestPolicy = DEFAULT_REQUEST_POLICY
    suspension: SuspensionPolicy | None = DEFAULT_POLICY
    sealed: Sealed | None = None
    segments: Segments = ()


@attrs.frozen(kw_only=True)
class VaultState:
    """Everything a decision may look at, and the log's frontier.

    ``vault`` is empty until the first entry creates it. ``last_at`` is the time of the newest entry.
    """

    vault: VaultId = VaultId("")
    header: Digest = Digest("")
    epochs: Epochs = ()
    rewrapped: Rewrapped = Map()
    epoch_age: int | None = DEFAULT_AGE
    slots: Slots = Slots()
    secrets: Secrets = Secrets()
    agents: Agents = Agents()
    grants: Grants = Grants()
    leases: Leases = Leases()
    oversight: Oversight = Oversight()
    log: Frontier = Frontier()
    last_at: int = 0

    @property
    def sealed(self) -> Sealed | None:
        """Since when, by whom and why every agent is refused; None while they are not."""
        return self.oversight.sealed

    @property
    def archived(self) -> int:
        """How many of the log's entries are in segment files, and no more in the vault."""
        return archived(self.oversight.segments)

    def epoch(self) -> int:
        """The number of the current epoch; 0 before the vault is created."""
        return self.epochs[-1].number if self.epochs else 0

    def objects(self) -> int:
        """How many secrets, agents, grants and leases it holds: what a snapshot costs."""
        return len(self.secrets.by_id) + len(self.agents.by_id) + len(self.grants.by_id) + len(self.leases.by_id)


EMPTY = VaultState()
"""The state before the first entry."""


@attrs.frozen
class Transition:
    """What an applied command makes of the state, and what it asks of an interpreter."""

    state: VaultState
    effects: tuple[Effect, ...] = ()


Applied = Result[Transition, Refusal]
