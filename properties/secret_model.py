"""The secrets of the independent model (:mod:`properties.model`): values, versions, rotations."""

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
class SecretModel:
    """The secrets, as somebody would keep them on paper."""

    secrets: dict[Where, Secret] = attrs.field(factory=dict[Where, Secret])

    def live(self, where: Where) -> str:
        if where not in self.secrets:
            return "no-secret"
        return "secret-deleted" if self.secrets[where].deleted else "applied"

    def version(self, secret: Secret, number: int) -> str:
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
        verdict = self.live(where)
        if verdict != "applied":
            return verdict
        secret = self.secrets[where]
        return self.version(secret, secret.current if number is None else number)

    def rollback(self, where: Where, to: int, now: int) -> str:
        verdict = self.live(where)
        if verdict == "applied" and self.secrets[where].rotation is not None:
            return "rotation-in-progress"
        if verdict == "applied" and self.secrets[where].current == to:
            return "version-current"
        if verdict == "applied":
            verdict = self.version(self.secrets[where], to)
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
        verdict = self.version(secret, number)
        if verdict == "applied":
            secret.values[number - 1] = None
        return verdict

    def policy(self, where: Where, *, overlap: int, keeps: bool, destroys: bool) -> str:
        verdict = self.live(where)
        if verdict == "applied":
            secret = self.secrets[where]
            secret.has_policy, secret.overlap, secret.keeps, secret.destroys = True, overlap, keeps, destroys
        return verdict

    def clear_policy(self, where: Where) -> str:
        verdict = self.live(where)
        if verdict != "applied":
            return verdict
        secret = self.secrets[where]
        had, secret.has_policy = secret.has_policy, False
        secret.overlap, secret.keeps, secret.destroys = 0, False, False
        return "applied" if had else "no-policy"

    def start(self, where: Where, key: str) -> str:
        verdict = self.live(where)
        if verdict == "applied" and self.secrets[where].rotation is not None:
            return "rotation-in-progress"
        if verdict == "applied":
            self.secrets[where].rotation = key
        return verdict

    def step(self, where: Where, key: str, step: str, now: int, value: bytes = b"") -> str:
        """One of create, set, test, finish, in that order and no other."""
        verdict = self.live(where)
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
        verdict = self.live(where)
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
        verdict = self.live(where)
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
        verdict = self.live(where)
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
