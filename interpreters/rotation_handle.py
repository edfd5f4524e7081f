"""Rotation in the hands of an operator: policies, what is due, and rotations by rotator or by hand."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

import attrs

from interpreters.conversions import accepted, micros
from interpreters.engine import Engine
from interpreters.leader import leading
from interpreters.rotators import Rotator
from interpreters.value_rotation import Driver, Rotated
from ironsecrets import identifiers as ids
from ironsecrets.agenda import Due, agenda
from ironsecrets.drafts import NewPending, NewRotation
from ironsecrets.errors import Refused
from ironsecrets.principals import Operator
from ironsecrets.reading import ListEntries
from ironsecrets.rotation import (
    NO_ROTATION,
    ClearRotation,
    CreatePending,
    FinishRotation,
    MarkSet,
    MarkTested,
    SetRotation,
)
from ironsecrets.schedules import ALPHABETS, MANUAL, PRESETS, RotationPolicy, parse_policy
from ironsecrets.secrets import ROTATION_IN_PROGRESS, Rotation, Secret
from ironsecrets.sensitive import Sensitive

PATIENCE = 60.0
Preset = Literal["llm-api-key", "database-password", "oauth-token"]


class RotationHandle:
    """``operator.rotation``. Times are ``timedelta``; every method is in the log."""

    def __init__(self, engine: Engine, operator: Operator) -> None:
        self._engine = engine
        self._driver = Driver(engine=engine, operator=operator)

    def set(
        self,
        name: str,
        *,
        environment: str,
        preset: Preset | None = None,
        every: timedelta | None = None,
        cron: str | None = None,
        before_expiry: timedelta | None = None,
        overlap: timedelta | None = None,
        rotator: str | None = None,
        length: int | None = None,
        alphabet: str | None = None,
        destroy_previous: bool | None = None,
        on_failure: Literal["abort", "keep"] | None = None,
    ) -> RotationPolicy:
        """Rotate a secret's value from now on: ``every`` so often, at the times of ``cron`` (UTC), or
        ``before_expiry`` of the value, whichever comes first; the policy as it stands now.

        The previous version answers for ``overlap`` more. ``rotator`` is ``generated``, ``manual`` (the default: a
        reminder) or one that the host configures. ``length`` and ``alphabet`` (characters, or ``alphanumeric``,
        ``base64url``, ``hex``, ``printable``) are for generated values. What is left out is the preset's.
        Refusals: ``bad-schedule``, ``bad-generator``, ``bad-rotator``, ``no-secret``, ``secret-deleted``.
        """
        where = self._where(name, environment)
        said: dict[str, Any] = {
            "alphabet": None if alphabet is None else ALPHABETS.get(alphabet, alphabet),
            "before_expiry": micros(before_expiry),
            "cron": cron,
            "destroy_previous": destroy_previous,
            "every": micros(every),
            "length": length,
            "on_failure": on_failure,
            "overlap": micros(overlap),
            "rotator": rotator,
        }
        base = RotationPolicy() if preset is None else PRESETS[preset]
        policy = attrs.evolve(base, **{field: value for field, value in said.items() if value is not None})
        policy = accepted(parse_policy(policy), name)
        self._driver.ask(SetRotation(name=where[0], environment=where[1], policy=policy), name)
        return policy

    def clear(self, name: str, *, environment: str) -> None:
        """Rotate only when somebody asks. Refusal: ``no-policy``."""
        where = self._where(name, environment)
        self._driver.ask(ClearRotation(name=where[0], environment=where[1]), name)

    def due(self, *, within: timedelta = timedelta(0), environment: str | None = None) -> Sequence[Due]:
        """What is due now or will be ``within`` that time, the earliest first."""
        secrets = self._looked(environment)
        horizon = self._engine.now() + (micros(within) or 0)
        return [due for due in secrets if due.ready(horizon)]

    def plans(self, *, environment: str | None = None) -> Sequence[tuple[Secret, Sequence[Due]]]:
        """Every secret that has a policy or is being rotated, with what is to come for it."""
        plans: dict[tuple[str, str], list[Due]] = {}
        for due in self._looked(environment):
            plans.setdefault((due.environment, due.name), []).append(due)
        within = None if environment is None else accepted(ids.parse_environment(environment))
        found = (
            secret
            for secret in self._engine.state.secrets.by_id.values()
            if (secret.policy is not None or secret.rotation is not None)
            and secret.deleted_at is None
            and within in (None, secret.environment)
        )
        return [
            (secret, plans.get((secret.environment, secret.name), []))
            for secret in sorted(found, key=lambda secret: (secret.environment, secret.name))
        ]

    def begin(
        self, name: str, value: str | bytes | Sensitive, *, environment: str, expires_in: timedelta | None = None
    ) -> int:
        """Rotate by hand: keep ``value`` as the pending version, whose number this is. Make the outside accept it,
        try it, and then :meth:`finish`, or :meth:`abort`. Refusals: ``rotation-in-progress``, those of a put."""
        where = self._where(name, environment)
        begun = self._secret(*where).rotation
        if begun is not None and not (begun.rotator == MANUAL and begun.step == "start"):
            raise Refused(ROTATION_IN_PROGRESS, name)
        if begun is None:
            draft = NewRotation(name=where[0], environment=where[1], rotator=ids.RotatorName(MANUAL))
            self._driver.ask(draft, name)
        rotation = self._rotation(*where).id
        with Sensitive(value.view() if isinstance(value, Sensitive) else value) as held:
            pending = NewPending(
                name=where[0],
                environment=where[1],
                rotation=rotation,
                value=held,
                expires_in=micros(expires_in),
            )
            match self._driver.ask(pending, name).command:
                case CreatePending(version=version):
                    return version
                case _:
                    raise AssertionError

    def finish(self, name: str, *, environment: str) -> Rotated:
        """Say that the outside has the pending value and that it works there: it becomes current. Also for a
        rotation that a rotator could not finish. Refusals: ``no-rotation``, ``wrong-step`` (nothing is pending)."""
        where = self._where(name, environment)
        begun = self._rotation(*where)
        steps = {"set": (MarkTested,), "test": ()}.get(begun.step, (MarkSet, MarkTested))
        for kind in (*steps, FinishRotation):
            self._driver.ask(kind(name=where[0], environment=where[1], rotation=begun.id), name)
        secret = self._secret(*where)
        return Rotated(
            name=where[0], environment=where[1], version=secret.current, previous=secret.previous or secret.current
        )

    def abort(
        self,
        name: str,
        *,
        environment: str,
        rotators: Mapping[str, Rotator] | None = None,
        force: bool = False,
        patience: float = PATIENCE,
    ) -> None:
        """Give a rotation up, from any step: the rotator puts the outside back, the pending version is erased.

        ``force`` does without the rotator: the pending value may be the only one that the outside still accepts.
        Refusals: ``no-rotation``, ``unknown-rotator``. Raises :class:`ironsecrets.RotationFailed`.
        """
        where = self._where(name, environment)
        with leading(self._engine.store, patience):
            self._with(rotators).abort(*where, force=force)

    def now(
        self,
        name: str,
        *,
        environment: str,
        rotator: str | None = None,
        rotators: Mapping[str, Rotator] | None = None,
        patience: float = PATIENCE,
    ) -> Rotated:
        """Rotate a value now, or finish its rotation: by its policy's rotator, or by the one that is named.

        ``rotators`` is what this host has beside ``generated``. Waits ``patience`` seconds for who else rotates.
        Refusals: ``no-policy``, ``unknown-rotator``, ``by-hand``, ``rotation-in-progress``. Raises
        :class:`ironsecrets.RotationFailed`, :class:`ironsecrets.VaultBusy`.
        """
        where = self._where(name, environment)
        chosen = None if rotator is None else accepted(ids.parse_rotator_name(rotator))
        with leading(self._engine.store, patience):
            return self._with(rotators).rotate(*where, chosen)

    def _with(self, rotators: Mapping[str, Rotator] | None) -> Driver:
        return attrs.evolve(self._driver, rotators=rotators or {})

    def _where(self, name: str, environment: str) -> tuple[ids.SecretName, ids.Environment]:
        return accepted(ids.parse_secret_name(name)), accepted(ids.parse_environment(environment))

    def _looked(self, environment: str | None) -> Sequence[Due]:
        within = None if environment is None else accepted(ids.parse_environment(environment))
        self._driver.ask(ListEntries(what="rotations", environment=within), "")
        return [due for due in agenda(self._engine.state.secrets) if within in (None, due.environment)]

    def _secret(self, name: ids.SecretName, environment: ids.Environment) -> Secret:
        return self._driver.secret(name, environment)

    def _rotation(self, name: ids.SecretName, environment: ids.Environment) -> Rotation:
        begun = self._secret(name, environment).rotation
        if begun is None:
            raise Refused(NO_ROTATION, name)
        return begun
