"""An independent model of the vault: lists, loops and no cleverness. It predicts every verdict.

It shares nothing with the core but the words. Where the two differ, one of them is wrong.
"""

from typing import Any

import attrs

Where = tuple[str, str]


def covers(selector: str, name: str) -> bool:
    """The selector rule, read off the documentation."""
    if selector == "**":
        return True
    if selector.endswith("/**"):
        return name.startswith(selector[:-2])
    if selector.endswith("/*"):
        return name.startswith(selector[:-1]) and "/" not in name[len(selector) - 1 :]
    return selector == name


@attrs.define
class Secret:
    values: list[bytes | None]
    current: int = 1
    deleted: bool = False
    previous: int | None = None
    previous_ends: int = 0
    overlap: int = 0
    keeps: bool = False
    destroys: bool = False
    has_policy: bool = False
    rotation: str | None = None
    steps: list[str] = attrs.field(factory=list[str])
    pending: int | None = None
    aborting: bool = False

    def move(self, to: int, now: int, overlap: int) -> None:
        """The label ``current`` moves."""
        self.previous, self.current, self.previous_ends = self.current, to, now + overlap

    def outlive(self) -> None:
        """What was previous goes, if the policy says so, when another value becomes current."""
        if self.destroys and self.previous is not None:
            self.values[self.previous - 1] = None

    def give_up(self) -> None:
        """A rotation ends without a new value."""
        if self.pending is not None:
            self.values[self.pending - 1] = None
        self.rotation, self.steps, self.pending, self.aborting = None, [], None, False

    def upcoming(self) -> str:
        """What a rotation does next."""
        return "abort" if self.aborting else ["create", "set", "test", "finish"][len(self.steps)]


@attrs.define
class Agent:
    token: str | None = None
    suspended: bool = False


@attrs.define
class Grant:
    agent: str
    selector: str
    environment: str
    default: int
    maximum: int
    ends: int | None
    uses: int | None
    used: int = 0


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
class Model:
    """The vault, as somebody would keep it on paper."""

    secrets: dict[Where, Secret] = attrs.field(factory=dict[Where, Secret])
    agents: dict[str, Agent] = attrs.field(factory=dict[str, Agent])
    grants: dict[str, Grant] = attrs.field(factory=dict[str, Grant])
    leases: dict[str, Lease] = attrs.field(factory=dict[str, Lease])

    def _live(self, where: Where) -> str:
        if where not in self.secrets:
            return "no-secret"
        return "secret-deleted" if self.secrets[where].deleted else "applied"

    def _version(self, secret: Secret, number: int) -> str:
        if not 1 <= number <= len(secret.values):
            return "no-version"
        return "version-destroyed" if secret.values[number - 1] is None else "applied"

    def put(self, where: Where, value: bytes, now: int) -> str:
        if where not in self.secrets:
            self.secrets[where] = Secret([value])
            return "applied"
        secret = self.secrets[where]
        if secret.deleted:
            return "secret-deleted"
        if secret.rotation is not None:
            return "rotation-in-progress"
        secret.values.append(value)
        secret.outlive()
        secret.move(len(secret.values), now, secret.overlap)
        return "applied"

    def read(self, where: Where, number: int | None) -> str:
        verdict = self._live(where)
        if verdict != "applied":
            return verdict
        secret = self.secrets[where]
        return self._version(secret, secret.current if number is None else number)

    def rollback(self, where: Where, to: int, now: int) -> str:
        verdict = self._live(where)
        if verdict == "applied" and self.secrets[where].rotation is not None:
            return "rotation-in-progress"
        if verdict == "applied" and self.secrets[where].current == to:
            return "version-current"
        if verdict == "applied":
            verdict = self._version(self.secrets[where], to)
        if verdict == "applied":
            self.secrets[where].move(to, now, 0)
        return verdict

    def destroy(self, where: Where, number: int) -> str:
        if where not in self.secrets:
            return "no-secret"
        secret = self.secrets[where]
        if secret.current == number:
            return "version-current"
        if secret.pending == number:
            return "version-pending"
        verdict = self._version(secret, number)
        if verdict == "applied":
            secret.values[number - 1] = None
        return verdict

    def policy(self, where: Where, *, overlap: int, keeps: bool, destroys: bool) -> str:
        verdict = self._live(where)
        if verdict == "applied":
            secret = self.secrets[where]
            secret.has_policy, secret.overlap, secret.keeps, secret.destroys = True, overlap, keeps, destroys
        return verdict

    def clear_policy(self, where: Where) -> str:
        verdict = self._live(where)
        if verdict != "applied":
            return verdict
        secret = self.secrets[where]
        had, secret.has_policy = secret.has_policy, False
        secret.overlap, secret.keeps, secret.destroys = 0, False, False
        return "applied" if had else "no-policy"

    def start(self, where: Where, key: str) -> str:
        verdict = self._live(where)
        if verdict == "applied" and self.secrets[where].rotation is not None:
            return "rotation-in-progress"
        if verdict == "applied":
            self.secrets[where].rotation = key
        return verdict

    def step(self, where: Where, key: str, step: str, now: int, value: bytes = b"") -> str:
        """One of create, set, test, finish, in that order and no other."""
        verdict = self._live(where)
        if verdict != "applied":
            return verdict
        secret = self.secrets[where]
        if secret.rotation is None or secret.rotation != key:
            return "no-rotation"
        if step != secret.upcoming():
            return "wrong-step"
        secret.steps.append(step)
        if step == "create":
            secret.values.append(value)
            secret.pending = len(secret.values)
        if step == "finish":
            pending = secret.pending or 0
            secret.outlive()
            secret.move(pending, now, secret.overlap)
            secret.pending = None
            secret.give_up()
        return "applied"

    def fail(self, where: Where, key: str, step: str) -> str:
        verdict = self._live(where)
        if verdict != "applied":
            return verdict
        secret = self.secrets[where]
        if secret.rotation is None or secret.rotation != key:
            return "no-rotation"
        if step != secret.upcoming():
            return "wrong-step"
        if secret.keeps and not secret.aborting:
            secret.steps = secret.steps[:1]
        else:
            secret.aborting = True
        return "applied"

    def abort(self, where: Where, key: str, done: bool) -> str:
        """Begin to put things back, or have done so."""
        verdict = self._live(where)
        if verdict != "applied":
            return verdict
        secret = self.secrets[where]
        if secret.rotation is None or secret.rotation != key:
            return "no-rotation"
        if secret.aborting != done:
            return "wrong-step"
        secret.aborting = True
        if done:
            secret.give_up()
        return "applied"

    def answer(self, secret: Secret, label: str, now: int) -> str | bytes:
        """The value that a label has now, or the refusal."""
        number = secret.current if label == "current" else secret.previous
        if label == "previous" and (number is None or now >= secret.previous_ends):
            return "no-previous"
        value: Any = secret.values[(number or 0) - 1]
        return "no-previous" if value is None else value

    def delete(self, where: Where) -> str:
        verdict = self._live(where)
        if verdict == "applied":
            self.secrets[where].deleted = True
        return verdict

    def undelete(self, where: Where) -> str:
        if where not in self.secrets:
            return "no-secret"
        if not self.secrets[where].deleted:
            return "not-deleted"
        self.secrets[where].deleted = False
        return "applied"

    def erase(self, where: Where) -> str:
        return "no-secret" if self.secrets.pop(where, None) is None else "applied"

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
        return "applied"

    def remove(self, agent: str) -> str:
        if agent not in self.agents:
            return "unknown-agent"
        del self.agents[agent]
        self._end_grants(agent)
        return "applied"

    def _end_leases(self, agent: str) -> None:
        self.leases = {k: lease for k, lease in self.leases.items() if lease.agent != agent}

    def _end_grants(self, agent: str) -> None:
        self.grants = {k: grant for k, grant in self.grants.items() if grant.agent != agent}
        self._end_leases(agent)

    def grant(self, key: str, now: int, made: Grant) -> str:
        if made.default > made.maximum or (made.ends is not None and made.ends <= now):
            return "bad-grant"
        self.grants[key] = made
        self.agents.setdefault(made.agent, Agent())
        return "applied"

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

    def _admits(self, agent: str, token: str | None) -> str:
        if agent not in self.agents:
            return "unknown-agent"
        if token is not None and token != self.agents[agent].token:
            return "token-revoked"
        return "agent-suspended" if self.agents[agent].suspended else "applied"

    def may_lease(
        self, now: int, agent: str, token: str | None, where: Where, ttl: int | None, label: str = "current"
    ) -> set[str] | str:
        """The grants that allow it, or the refusal."""
        verdict = self._admits(agent, token)
        if verdict != "applied":
            return verdict
        fitting = {
            key: grant
            for key, grant in self.grants.items()
            if grant.agent == agent and grant.environment == where[0] and covers(grant.selector, where[1])
        }
        live = {k: g for k, g in fitting.items() if g.ends is None or now < g.ends}
        unused = {k: g for k, g in live.items() if g.uses is None or g.used < g.uses}
        enough = {k for k, g in unused.items() if ttl is None or ttl <= g.maximum}
        for found, refusal in (
            (fitting, "no-grant"),
            (live, "grant-expired"),
            (unused, "grant-used-up"),
            (enough, "ttl-too-long"),
        ):
            if not found:
                return refusal
        verdict = self._live(where)
        if verdict == "applied":
            answer = self.answer(self.secrets[where], label, now)
            verdict = answer if isinstance(answer, str) else "applied"
        return enough if verdict == "applied" else verdict

    def lease(
        self, key: str, now: int, agent: str, grant: str, where: Where, ttl: int | None, label: str = "current"
    ) -> None:
        """Take over the lease that was opened under ``grant``, which :meth:`may_lease` allowed."""
        under = self.grants[grant]
        under.used += 1
        ends = now + (under.default if ttl is None else ttl)
        ends = ends if under.ends is None else min(ends, under.ends)
        self.leases[key] = Lease(agent, grant, self.secrets[where], where, now, ends, label)

    def use(self, now: int, agent: str, token: str | None, key: str) -> str | bytes:
        """The value a lease gives now, or the refusal."""
        verdict = self._usable(now, agent, token, key)
        if verdict != "applied":
            return verdict
        lease = self.leases[key]
        return self.answer(lease.secret, lease.label, now)

    def _usable(self, now: int, agent: str, token: str | None, key: str) -> str:
        verdict = self._admits(agent, token)
        if verdict != "applied":
            return verdict
        lease = self.leases.get(key)
        if lease is None or lease.agent != agent:
            return "unknown-lease"
        if now >= lease.ends:
            return "lease-expired"
        if lease.grant not in self.grants:
            return "lease-revoked"
        if self.secrets.get(lease.where) is not lease.secret:
            return "no-secret"
        if lease.secret.deleted:
            return "secret-deleted"
        return "applied"

    def renew(self, now: int, agent: str, token: str | None, key: str, ttl: int | None) -> str:
        verdict = self._usable(now, agent, token, key)
        if verdict != "applied":
            return verdict
        lease = self.leases[key]
        grant = self.grants[lease.grant]
        if ttl is not None and ttl > grant.maximum:
            return "ttl-too-long"
        ends = min(now + (grant.default if ttl is None else ttl), lease.opened + grant.maximum)
        ends = ends if grant.ends is None else min(ends, grant.ends)
        if ends <= lease.ends:
            return "lease-at-maximum"
        lease.ends = ends
        return "applied"

    def release(self, agent: str, token: str | None, key: str) -> str:
        verdict = self._admits(agent, token)
        if verdict != "applied":
            return verdict
        if key not in self.leases or self.leases[key].agent != agent:
            return "unknown-lease"
        del self.leases[key]
        return "applied"

    def revoke_lease(self, key: str) -> str:
        return "unknown-lease" if self.leases.pop(key, None) is None else "applied"
