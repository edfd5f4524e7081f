"""What every command shares: the session, its options, and errors as one line and an exit status."""

import getpass
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import attrs
import click

from interpreters.conversions import LONGEST_DAYS, parse_span
from interpreters.derivation import (
    Credential,
    master_key_credential,
    passphrase_credential,
    recovery_key_credential,
)
from interpreters.doors import open_place
from interpreters.operator_handle import OperatorHandle
from interpreters.places import Place, parse_place
from interpreters.sinks import JsonLinesSink
from interpreters.vault import Vault
from interpreters.witness import FileWitness
from ironsecrets.errors import (
    CannotUnlock,
    IntegrityError,
    NewerFormat,
    NotAVault,
    Refused,
    RotationFailed,
    StoreUnavailable,
    VaultBusy,
    VaultError,
    VaultNotFound,
)
from ironsecrets.identifiers import parse_person_name
from ironsecrets.sensitive import Sensitive

PASSPHRASE_VARIABLE = "IRONSECRETS_PASSPHRASE"
MASTER_KEY_VARIABLE = "IRON_SECRETS_MASTER_KEY"
RECOVERY_KEY_VARIABLE = "IRONSECRETS_RECOVERY_KEY"
AUDIT_FILE_VARIABLE = "IRONSECRETS_AUDIT_FILE"
WITNESS_VARIABLE = "IRONSECRETS_WITNESS"

NOT_FOUND = frozenset(
    {"no-secret", "no-version", "unknown-agent", "unknown-grant", "unknown-lease", "unknown-request", "unknown-slot"}
)
INTERRUPTED = 130

_F = TypeVar("_F", bound=Callable[..., Any])


def exit_status(error: VaultError) -> int:
    """The exit status that says what kind of error it was."""
    match error:
        case Refused(refusal=refusal):
            return 6 if refusal.code in NOT_FOUND else 3
        case CannotUnlock() | NewerFormat():
            return 4
        case IntegrityError() | NotAVault():
            return 5
        case VaultNotFound():
            return 6
        case VaultBusy() | StoreUnavailable() | RotationFailed():
            return 7
        case _:
            return 1


class QuietCommand(click.Command):
    """A command whose usage errors do not repeat what stood on the command line: it may be a secret."""

    extra = "got an unexpected extra argument (not repeated here, in case it is a secret)"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.allow_extra_args = True
        try:
            rest = super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.possibilities:
                raise
            raise click.UsageError("no such option (not repeated here, in case it is a secret)", ctx) from None
        if ctx.args and not ctx.resilient_parsing:
            raise click.UsageError(self.extra, ctx)
        return rest


class QuietGroup(click.Group):
    """A group of quiet commands."""

    command_class = QuietCommand
    group_class = type


class Duration(click.ParamType[timedelta]):
    """``90s``, ``15m``, ``12h``, ``30d`` or ``2w``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        span = parse_span(value)
        if span is None:
            self.fail(f"write a whole number and a unit: 90s, 15m, 12h, 30d or 2w; at most {LONGEST_DAYS}d", param, ctx)
        return span


class Moment(click.ParamType[datetime]):
    """A moment in ISO 8601, with its offset from UTC; ``past`` takes how long ago it was too."""

    def __init__(self, *, past: bool = False) -> None:
        self._past = past

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        except ValueError:
            moment = None
        ago = parse_span(value) if self._past and isinstance(value, str) else None
        if ago is not None:
            return datetime.now(UTC) - ago
        if moment is None or moment.tzinfo is None:
            span = ", or how long ago it was, such as 24h" if self._past else ""
            self.fail(f"write a moment with its offset from UTC, such as 2027-01-01T08:00Z{span}", param, ctx)
        return moment


class WhereItIs(click.ParamType[Place]):
    """A path, or a ``postgresql://`` URL."""

    name = "place"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Place:
        return value if isinstance(value, Place) else parse_place(value)


@attrs.define
class Session:
    """What the global options said."""

    place: Place
    passphrase_file: Path | None
    name: str

    def unlocking(self, *, confirm: bool = False) -> Credential:
        """What unlocks the vault: a file, the environment, or a prompt, in that order."""
        if self.passphrase_file is not None:
            return passphrase_credential(_from_file(self.passphrase_file))
        if (text := os.environ.get(RECOVERY_KEY_VARIABLE)) is not None:
            return recovery_key_credential(text)
        if (passphrase := os.environ.get(PASSPHRASE_VARIABLE)) is not None:
            return passphrase_credential(_not_empty(passphrase))
        if (master_key := os.environ.get(MASTER_KEY_VARIABLE)) is not None:
            return master_key_credential(master_key)
        return passphrase_credential(prompted(f"Passphrase for {self.place}", confirm=confirm))

    def open(self, checkpoint: str | None = None) -> Vault:
        """The unlocked vault."""
        if isinstance(self.place, Path) and not os.path.lexists(self.place):
            hint = f"create one with: ironsecrets --vault {self.place} init"
            raise VaultNotFound(f"there is no vault at {self.place}; {hint}")
        return self.open_with(self.unlocking(), checkpoint)

    def open_with(self, credential: Credential, checkpoint: str | None = None) -> Vault:
        """The vault, unlocked with this."""
        return open_place(self.place, credential, checkpoint=checkpoint, witness=self.witness(), sinks=self.sinks())

    def witness(self) -> FileWitness | None:
        """The witness that the environment names."""
        target = os.environ.get(WITNESS_VARIABLE)
        return FileWitness(target) if target else None

    def sinks(self) -> tuple[JsonLinesSink, ...]:
        """The audit file that the environment asks for."""
        target = os.environ.get(AUDIT_FILE_VARIABLE)
        return (JsonLinesSink(target),) if target else ()

    def operator(self, vault: Vault) -> OperatorHandle:
        """The handle of whoever runs the command."""
        return vault.operator(self.name)


pass_session = click.make_pass_decorator(Session)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def environment_option(function: _F) -> _F:
    """``--env``, with its defaults."""
    return click.option(
        "--env",
        "environment",
        envvar="IRONSECRETS_ENV",
        default="development",
        show_default=True,
        metavar="E",
        help="The environment (or IRONSECRETS_ENV).",
    )(function)


def default_name() -> str:
    """The system's name for the user where it can stand in the log, else ``operator``."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        return "operator"
    return parse_person_name(name).value_or("operator")


def _not_empty(passphrase: str) -> Sensitive:
    if not passphrase:
        raise CannotUnlock("an empty passphrase unlocks nothing")
    return Sensitive(passphrase)


def _from_file(path: Path) -> Sensitive:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CannotUnlock(f"the passphrase file cannot be read: {error.strerror}") from None
    return (
        _not_empty(raw.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "surrogateescape"))
        if raw
        else _not_empty("")
    )


def credential_of(file: Path) -> Credential:
    """The passphrase in a file."""
    return passphrase_credential(_from_file(file))


def prompted(label: str, *, confirm: bool = False) -> str:
    """What somebody types at a hidden prompt; :class:`CannotUnlock` where there is no terminal to type at."""
    if not _terminal():
        raise CannotUnlock(
            f"no passphrase: set {PASSPHRASE_VARIABLE} or {MASTER_KEY_VARIABLE}, give --passphrase-file, or run"
            " on a terminal"
        )
    typed = click.prompt(label, hide_input=True, confirmation_prompt=confirm, err=True)
    if not typed:
        raise CannotUnlock("nothing was typed")
    return typed


def _terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
    except OSError:
        return False
    return True
