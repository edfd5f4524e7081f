"""An independent model of the vault: lists, loops and no cleverness. It predicts every verdict.

It shares nothing with the core but the words. Where the two differ, one of them is wrong.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import attrs

from properties.secret_model import Secret, SecretModel, Where, covers

DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
COUNTED = [
    "no-grant",
    "not-permitted",
    "permission-missing",
    "ttl-too-long",
    "grant-expired",
    "grant-used-up",
    "unknown-lease",
]
GLASS = 3_600_000_000


@attrs.define
class Bucket:
    """Water in a bucket that leaks one microsecond's worth in each: the continuous-state leaky bucket of I.371."""

    water: int = 0
    since: int = 0

    def room(self, now: int, rate: tuple[int, int, int] | None) -> bool:
        """Whether one more fits. A rate is a burst, a count and a time."""
        if rate is None:
            return True
        burst, count, per = rate
        step = -(-per // count)
        return max(0, self.water - (now - self.since)) <= (burst - 1) * step

    def pour(self, now: int, rate: tuple[int, int, int] | None) -> None:
        """One more."""
        if rate is not None:
            _, count, per = rate
            self.water = max(0, self.water - (now - self.since)) + -(-per // count)
            self.since = now


@attrs.frozen
class Who:
    """An agent with what its token says."""

    agent: str
    token: str | None = None
    permissions: tuple[str, ...] = ()
    ends: int | None = None


@attrs.define
class Agent:
    token: str | None = None
    suspended: bool = False
    rate: tuple[int, int, int] | None = None
    leases: Bucket = attrs.field(factory=Bucket)
    refusals: Bucket = attrs.field(factory=Bucket)


@attrs.frozen
class Terms:
    default: int
    maximum: int
    ends: int | None = None
    uses: int | None = None
    begins: int | None = None
    rate: tuple[int, int, int] | None = None
    windows: tuple[str, ...] = ()
    permission: str | None = None

    def verdict(self, now: int) -> str:
        """Whether such a grant can be made."""
        if self.default > self.maximum:
            return "bad-grant"
        if self.ends is not None and (self.ends <= now or (self.begins is not None and self.ends <= self.begins)):
            return "bad-grant"
        return "applied"


@attrs.define
class Grant:
    agent: str
    selector: str
    environment: str
    terms: Terms
    used: int = 0
    bucket: Bucket = attrs.field(factory=Bucket)

    def live(self, now: int) -> bool:
        return self.terms.ends is None or now < self.terms.ends

    def begun(self, now: int) -> bool:
        return self.terms.begins is None or self.terms.begins <= now

    def opened(self, now: int) -> bool:
        return not self.terms.windows or any(inside(window, now) for window in self.terms.windows)

    def permits(self, who: Who) -> bool:
        return self.terms.permission is None or self.terms.permission in who.permissions


def inside(window: str, now: int) -> bool:
    """Whether a window as people write it is open, by Python's own zone data."""
    days, hours, zone = window.split(" ")
    local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=now)).astimezone(ZoneInfo(zone))
    wanted = []
    for part in (",".join(DAYS) if days == "daily" else days).split(","):
        first, _, last = part.partition("-")
        day = DAYS.index(first)
        wanted.append(DAYS[day])
        while last and DAYS[day] != last:
            day = (day + 1) % 7
            wanted.append(DAYS[day])
    begin, end = hours.split("-")
    time = local.strftime("%H:%M")
    today, yesterday = DAYS[local.weekday()], DAYS[local.weekday() - 1]
    if begin < end:
        return today in wanted and begin <= time < end
    return (today in wanted and begin <= time) or (yesterday in wanted and time < end)


@attrs.define
class Lease:
    agent: str
    grant: str
    secret: Secret
    where: Where
    opened: int
    ends: int
    label: str = "current"


@attrs.define
class AccessRequest:
    agent: str
    where: Where
    ends: int
    approvals: list[str] = attrs.field(factory=list[str])
    terms: Terms | None = None


@attrs.define
class Model(SecretModel):
    """The vault, as somebody would keep it on paper."""

    agents: dict[str, Agent] = attrs.field(factory=dict[str, Agent])
    grants: dict[str, Grant] = attrs.field(factory=dict[str, Grant])
    leases: dict[str, Lease] = attrs.field(factory=dict[str, Lease])
    requests: dict[str, AccessRequest] = attrs.field(factory=dict[str, AccessRequest])
    approvals: int = 1
    lifetime: int = 86_400_000_000
    suspension: tuple[int, int] | None = (20, 600_000_000)
    sealed: bool = False

    def enroll(self, agent: str, token: str, replace: bool) -> str:
        known = self.agents.get(agent, Agent())
        if known.token is not None and not replace:
            return "agent-exists"
        self.agents[agent] = attrs.evolve(known, token=token)
        return "applied"

    def suspend(self, agent: str) -> str:
        if agent not in self.agents:
            return "unknown-agent"
        if self.agents[agent].suspended:
            return "agent-suspended"
        self.agents[agent].suspended = True
        self._end_leases(agent)
        return "applied"

    def resume(self, agent: str) -> str:
        if agent not in self.agents:
            return "unknown-agent"
        if not self.agents[agent].suspended:
            return "not-suspended"
        self.agents[agent].suspended = False
        self.agents[agent].refusals = Bucket()
        return "applied"

    def remove(self, agent: str) -> str:
        if agent not in self.agents:
            return "unknown-agent"
        del self.agents[agent]
        self._end_grants(agent)
        self.requests = {k: one for k, one in self.requests.items() if one.agent != agent}
        return "applied"

    def limit(self, agent: str, rate: tuple[int, int, int] | None) -> str:
        if agent not in self.agents:
            return "unknown-agent"
        self.agents[agent].rate = rate
        return "applied"

    def refused(self, who: Who, verdict: str, now: int) -> None:
        """What a refused command does to who asked."""
        if self.suspension is None or verdict not in COUNTED or self._admits(who, now) != "applied":
            return
        rate = (self.suspension[0], *self.suspension)
        if self.agents[who.agent].refusals.room(now, rate):
            self.agents[who.agent].refusals.pour(now, rate)
        else:
            self.suspend(who.agent)

    def _end_leases(self, agent: str) -> None:
        self.leases = {k: lease for k, lease in self.leases.items() if lease.agent != agent}

    def _end_grants(self, agent: str) -> None:
        self.grants = {k: grant for k, grant in self.grants.items() if grant.agent != agent}
        self._end_leases(agent)

    def grant(self, key: str, now: int, made: Grant, *, glass: bool = False) -> str:
        if glass and (made.terms.ends is None or made.terms.ends - now > GLASS):
            return "break-glass-too-long"
        verdict = made.terms.verdict(now)
        if verdict == "applied":
            self.grants[key] = made
            self.agents.setdefault(made.agent, Agent())
        return verdict

    def revoke(self, key: str) -> str:
        return "unknown-grant" if self.grants.pop(key, None) is None else "applied"

    def revoke_agent(self, agent: str) -> str:
        if agent not in self.agents:
            return "unknown-agent"
        self._end_grants(agent)
        return "applied"

    def revoke_all(self) -> str:
        self.grants, self.leases = {}, {}
        return "applied"

    def seal(self) -> str:
        if self.sealed:
            return "already-sealed"
        self.sealed, self.leases = True, {}
        return "applied"

    def unseal(self) -> str:
        was, self.sealed = self.sealed, False
        return "applied" if was else "not-sealed"

    def _admits(self, who: Who, now: int) -> str:
        if self.sealed:
            return "vault-sealed"
        if who.agent not in self.agents:
            return "unknown-agent"
        if who.token is not None and who.token != self.agents[who.agent].token:
            return "token-revoked"
        if who.ends is not None and now >= who.ends:
            return "token-expired"
        return "agent-suspended" if self.agents[who.agent].suspended else "applied"

    def _granted(self, now: int, who: Who, where: Where, ttl: int | None) -> set[str] | str:
        fitting = {
            key: grant
            for key, grant in self.grants.items()
            if grant.agent == who.agent and grant.environment == where[0] and covers(grant.selector, where[1])
        }
        left = fitting
        stages: list[tuple[str, Callable[[Grant], bool]]] = [
            ("no-grant", lambda _: True),
            ("grant-expired", lambda g: g.live(now)),
            ("grant-used-up", lambda g: g.terms.uses is None or g.used < g.terms.uses),
            ("grant-not-yet", lambda g: g.begun(now)),
            ("outside-window", lambda g: g.opened(now)),
            ("permission-missing", lambda g: g.permits(who)),
            ("ttl-too-long", lambda g: ttl is None or ttl <= g.terms.maximum),
            ("rate-limited", lambda g: g.bucket.room(now, g.terms.rate)),
        ]
        for refusal, holds in stages:
            left = {key: grant for key, grant in left.items() if holds(grant)}
            if not left:
                return refusal
        return set(left)

    def may_lease(self, now: int, who: Who, where: Where, ttl: int | None, label: str = "current") -> set[str] | str:
        """The grants that allow it, or the refusal."""
        verdict = self._admits(who, now)
        if verdict != "applied":
            return verdict
        granted = self._granted(now, who, where, ttl)
        if isinstance(granted, str):
            return granted
        agent = self.agents[who.agent]
        if not agent.leases.room(now, agent.rate):
            return "agent-rate-limited"
        verdict = self.live(where)
        if verdict == "applied":
            answer = self.answer(self.secrets[where], label, now)
            verdict = answer if isinstance(answer, str) else "applied"
        return granted if verdict == "applied" else verdict

    def lease(
        self, key: str, now: int, agent: str, grant: str, where: Where, ttl: int | None, label: str = "current"
    ) -> None:
        """Take over the lease that was opened under ``grant``, which :meth:`may_lease` allowed."""
        under = self.grants[grant]
        under.used += 1
        under.bucket.pour(now, under.terms.rate)
        self.agents[agent].leases.pour(now, self.agents[agent].rate)
        ends = now + (under.terms.default if ttl is None else ttl)
        ends = ends if under.terms.ends is None else min(ends, under.terms.ends)
        self.leases[key] = Lease(agent, grant, self.secrets[where], where, now, ends, label)

    def use(self, now: int, who: Who, key: str) -> str | bytes:
        """The value a lease gives now, or the refusal."""
        verdict = self._usable(now, who, key)
        if verdict != "applied":
            return verdict
        lease = self.leases[key]
        return self.answer(lease.secret, lease.label, now)

    def _usable(self, now: int, who: Who, key: str) -> str:
        verdict = self._admits(who, now)
        if verdict != "applied":
            return verdict
        lease = self.leases.get(key)
        if lease is None or lease.agent != who.agent:
            return "unknown-lease"
        if now >= lease.ends:
            return "lease-expired"
        if lease.grant not in self.grants:
            return "lease-revoked"
        grant = self.grants[lease.grant]
        if not grant.begun(now):
            return "grant-not-yet"
        if not grant.opened(now):
            return "outside-window"
        if not grant.permits(who):
            return "permission-missing"
        if self.secrets.get(lease.where) is not lease.secret:
            return "no-secret"
        return "secret-deleted" if lease.secret.deleted else "applied"

    def renew(self, now: int, who: Who, key: str, ttl: int | None) -> str:
        verdict = self._usable(now, who, key)
        if verdict != "applied":
            return verdict
        lease = self.leases[key]
        terms = self.grants[lease.grant].terms
        if ttl is not None and ttl > terms.maximum:
            return "ttl-too-long"
        ends = min(now + (terms.default if ttl is None else ttl), lease.opened + terms.maximum)
        ends = ends if terms.ends is None else min(ends, terms.ends)
        if ends <= lease.ends:
            return "lease-at-maximum"
        lease.ends = ends
        return "applied"

    def release(self, now: int, who: Who, key: str) -> str:
        verdict = self._admits(who, now)
        if verdict != "applied":
            return verdict
        if key not in self.leases or self.leases[key].agent != who.agent:
            return "unknown-lease"
        del self.leases[key]
        return "applied"

    def revoke_lease(self, key: str) -> str:
        return "unknown-lease" if self.leases.pop(key, None) is None else "applied"

    def ask_for(self, key: str, now: int, who: Who, where: Where) -> str:
        """An agent asks for access."""
        verdict = self._admits(who, now)
        if verdict != "applied":
            return verdict
        if not isinstance(self._granted(now, who, where, None), str):
            return "already-granted"
        mine = [one for one in self.requests.values() if one.agent == who.agent and now < one.ends]
        if any(one.where == where for one in mine):
            return "already-requested"
        if len(mine) >= 16:
            return "too-many-requests"
        self.requests = {k: one for k, one in self.requests.items() if one.agent != who.agent or now < one.ends}
        self.requests[key] = AccessRequest(who.agent, where, now + self.lifetime)
        return "applied"

    def approve(self, key: str, now: int, by: str, terms: Terms, grant: str) -> str:
        """An operator agrees to a request."""
        if key not in self.requests:
            return "unknown-request"
        asked = self.requests[key]
        if now >= asked.ends:
            return "request-expired"
        if by in asked.approvals:
            return "already-approved"
        if asked.terms is not None and asked.terms != terms:
            return "conditions-differ"
        verdict = terms.verdict(now)
        if verdict != "applied":
            return verdict
        asked.approvals.append(by)
        asked.terms = terms
        if len(asked.approvals) >= self.approvals:
            del self.requests[key]
            self.grants[grant] = Grant(asked.agent, asked.where[1], asked.where[0], terms)
        return "applied"

    def decline(self, key: str) -> str:
        return "unknown-request" if self.requests.pop(key, None) is None else "applied"
