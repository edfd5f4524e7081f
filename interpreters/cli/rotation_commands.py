"""``rotation``: policies, what is due, rotations now and by hand, and the scheduler."""

import signal
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Literal, cast

import click

from interpreters.cli.base import (
    Duration,
    QuietGroup,
    Session,
    environment_option,
    exit_status,
    json_option,
    pass_session,
)
from interpreters.cli.output import emit, stamp, table, warn
from interpreters.cli.rotation_output import (
    due_data,
    failed_data,
    in_words,
    pass_data,
    pass_lines,
    policy_data,
    progress_of,
    rotated_data,
    rotated_line,
    rotation_data,
    state_of,
)
from interpreters.cli.value_input import ValueCommand, expires_in_option, given_value, strip_newline_option
from interpreters.conversions import accepted, when
from interpreters.rotation_handle import Preset
from interpreters.rotator_file import load_rotators
from interpreters.rotators import Rotator
from interpreters.scheduler import Pass
from ironsecrets.agenda import plans
from ironsecrets.identifiers import parse_environment, parse_secret_name
from ironsecrets.schedules import ALPHABETS, PRESETS

ROTATORS_VARIABLE = "IRONSECRETS_ROTATORS"

rotators_option = click.option(
    "--rotators",
    "rotators_file",
    envvar=ROTATORS_VARIABLE,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"A TOML file with this host's rotators (or {ROTATORS_VARIABLE}).",
)


def _rotators(file: Path | None) -> Mapping[str, Rotator]:
    return {} if file is None else load_rotators(file)


@click.group(cls=QuietGroup, epilog="Example: ironsecrets rotation set openai/api-key --preset llm-api-key")
def rotation() -> None:
    """Rotate values: on schedule, now, or by hand."""


@rotation.command("set", epilog="Example: ironsecrets rotation set app/session-key --every 30d --rotator generated")
@click.argument("name")
@environment_option
@click.option("--preset", type=click.Choice(sorted(PRESETS)), help="What is usual for such a value.")
@click.option("--every", type=Duration(), help="Due so long after it became current.")
@click.option("--cron", metavar="EXPR", help="Due at these times (five fields, UTC).")
@click.option("--on-expiry", is_flag=True, help="Due when the value expires (see --expires-in of `put`).")
@click.option("--before", type=Duration(), help="With --on-expiry: so long before that.")
@click.option("--overlap", type=Duration(), help="How long the previous version still answers.")
@click.option("--rotator", metavar="R", help="generated, manual, or a name from --rotators [default: manual].")
@click.option("--length", type=click.IntRange(1, 4096), help="Characters of a generated value [default: 32].")
@click.option("--alphabet", metavar="A", help=f"{', '.join(ALPHABETS)}, or the characters themselves.")
@click.option(
    "--destroy-previous/--keep-previous", default=None, help="Whether the previous version is erased after the overlap."
)
@click.option(
    "--on-failure", type=click.Choice(["abort", "keep"]), help="What becomes of a rotation that fails [default: abort]."
)
@json_option
@pass_session
def set_policy(
    session: Session,
    name: str,
    environment: str,
    preset: str | None,
    every: timedelta | None,
    cron: str | None,
    on_expiry: bool,
    before: timedelta | None,
    overlap: timedelta | None,
    rotator: str | None,
    length: int | None,
    alphabet: str | None,
    destroy_previous: bool | None,
    on_failure: Literal["abort", "keep"] | None,
    as_json: bool,
) -> None:
    """Rotate NAME's value from now on. What is left out is the preset's; nothing is kept of an older policy."""
    if before is not None and not on_expiry:
        raise click.UsageError("--before goes with --on-expiry")
    parsed = accepted(parse_secret_name(name)), accepted(parse_environment(environment))
    with session.open() as vault:
        policy = session.operator(vault).rotation.set(
            name,
            environment=environment,
            preset=cast("Preset | None", preset),
            every=every,
            cron=cron,
            before_expiry=(before or timedelta(0)) if on_expiry else None,
            overlap=overlap,
            rotator=rotator,
            length=length,
            alphabet=alphabet,
            destroy_previous=destroy_previous,
            on_failure=on_failure,
        )
        secret = accepted(vault.state.secrets.live(parsed[1], parsed[0]), name)
    data = {"name": name, "environment": environment, "policy": policy_data(policy)}
    emit(as_json, data, lambda: click.echo(f"{name} in {environment}: {in_words(policy)}"))
    if not any(plan.kind in ("rotate", "resume") for plan in plans(secret)):
        warn("never due as it is: the value has no end of its own; `put --expires-in` says when it ends")


@rotation.command("clear", epilog="Example: ironsecrets rotation clear openai/api-key")
@click.argument("name")
@environment_option
@pass_session
def clear(session: Session, name: str, environment: str) -> None:
    """Rotate NAME only when somebody asks."""
    with session.open() as vault:
        session.operator(vault).rotation.clear(name, environment=environment)
    click.echo(f"{name} in {environment}: no rotation policy")


_all_environments = click.option("--env", "environment", metavar="E", help="Only this environment [default: all].")


@rotation.command("due", epilog="Example: ironsecrets rotation due --within 7d --json")
@click.option("--within", type=Duration(), default=timedelta(0), help="Also what comes due within that time.")
@_all_environments
@json_option
@pass_session
def due(session: Session, within: timedelta, environment: str | None, as_json: bool) -> None:
    """List what is due, the earliest first."""
    with session.open() as vault:
        found = session.operator(vault).rotation.due(within=within, environment=environment)
        now = vault.now()
    data = [due_data(one, now) for one in found]
    rows = [(one.name, one.environment, one.kind, when(one.at), one.rotator, state_of(one, now)) for one in found]
    columns = ("NAME", "ENV", "WHAT", "DUE", "ROTATOR", "")
    emit(as_json, data, lambda: table("", columns, rows) if rows else click.echo("nothing is due"))


@rotation.command("status", epilog="Example: ironsecrets rotation status --json")
@_all_environments
@json_option
@pass_session
def status(session: Session, environment: str | None, as_json: bool) -> None:
    """List policies, rotations in progress, and what failed last."""
    with session.open() as vault:
        found = session.operator(vault).rotation.plans(environment=environment)
        now = vault.now()
    data = [
        {
            "name": secret.name,
            "environment": secret.environment,
            "policy": None if secret.policy is None else policy_data(secret.policy),
            "current": secret.current,
            "current_since": stamp(secret.current_since),
            "previous": secret.previous,
            "previous_until": stamp(secret.previous_until),
            "rotation": rotation_data(secret),
            "failed": failed_data(secret),
            "plans": [due_data(one, now) for one in coming],
        }
        for secret, coming in found
    ]
    rows = [
        (
            secret.name,
            secret.environment,
            "" if secret.policy is None else in_words(secret.policy),
            when(min((one.at for one in coming if one.kind != "destroy-previous"), default=None)),
            progress_of(secret),
        )
        for secret, coming in found
    ]
    columns = ("NAME", "ENV", "POLICY", "NEXT", "")
    emit(as_json, data, lambda: table("", columns, rows) if rows else click.echo("no rotation policies"))


@rotation.command(
    "begin", cls=ValueCommand, epilog='Example: printf %s "$NEW" | ironsecrets rotation begin openai/api-key'
)
@click.argument("name")
@environment_option
@strip_newline_option
@expires_in_option
@json_option
@pass_session
def begin(
    session: Session, name: str, environment: str, strip_newline: bool, expires_in: timedelta | None, as_json: bool
) -> None:
    """Rotate by hand: keep a new value as pending, from a hidden prompt or stdin. Then `finish`, or `abort`."""
    accepted(parse_secret_name(name))
    accepted(parse_environment(environment))
    with given_value(name, strip_newline) as value, session.open() as vault:
        version = session.operator(vault).rotation.begin(name, value, environment=environment, expires_in=expires_in)
    data = {"name": name, "environment": environment, "version": version}
    emit(as_json, data, lambda: click.echo(f"{name} in {environment}: version {version} is pending"))


@rotation.command("finish", epilog="Example: ironsecrets rotation finish openai/api-key")
@click.argument("name")
@environment_option
@json_option
@pass_session
def finish(session: Session, name: str, environment: str, as_json: bool) -> None:
    """Make the pending value current: the outside accepts it, and somebody has tried it."""
    with session.open() as vault:
        done = session.operator(vault).rotation.finish(name, environment=environment)
    emit(as_json, rotated_data(done), lambda: click.echo(rotated_line(done)))


@rotation.command("abort", epilog="Example: ironsecrets rotation abort openai/api-key")
@click.argument("name")
@environment_option
@rotators_option
@click.option("--force", is_flag=True, help="Without the rotator: the outside may expect the value that is erased.")
@pass_session
def abort(session: Session, name: str, environment: str, rotators_file: Path | None, force: bool) -> None:
    """Give NAME's rotation up: its rotator puts the outside back, and the pending value is erased."""
    rotators = _rotators(rotators_file)
    with session.open() as vault:
        session.operator(vault).rotation.abort(name, environment=environment, rotators=rotators, force=force)
    click.echo(f"{name} in {environment}: rotation aborted; the current value stays")


@rotation.command("now", epilog="Example: ironsecrets rotation now app/session-key")
@click.argument("name")
@environment_option
@click.option("--rotator", metavar="R", help="Another than the policy's.")
@rotators_option
@json_option
@pass_session
def now(
    session: Session, name: str, environment: str, rotator: str | None, rotators_file: Path | None, as_json: bool
) -> None:
    """Rotate NAME now, or finish its rotation."""
    rotators = _rotators(rotators_file)
    with session.open() as vault:
        done = session.operator(vault).rotation.now(name, environment=environment, rotator=rotator, rotators=rotators)
    emit(as_json, rotated_data(done), lambda: click.echo(rotated_line(done)))


@rotation.command("run", epilog="Example: ironsecrets rotation run --once --rotators /etc/ironsecrets/rotators.toml")
@click.option("--once", is_flag=True, help="One pass, for cron and systemd timers; exits with 7 if a rotation failed.")
@click.option("--interval", type=Duration(), default=timedelta(minutes=1), help="Between passes [default: 1m].")
@click.option("--max", "most", type=click.IntRange(1, 10000), default=10, show_default=True, help="Values a pass.")
@click.option("--accept-clock", is_flag=True, help="Rotate also what is overdue by more than a year.")
@rotators_option
@json_option
@pass_session
def run(
    session: Session,
    once: bool,
    interval: timedelta,
    most: int,
    accept_clock: bool,
    rotators_file: Path | None,
    as_json: bool,
) -> None:
    """Rotate values and keys when they are due, until SIGTERM or Ctrl-C."""
    rotators = _rotators(rotators_file)
    with session.open() as vault:
        said: list[str] = []

        def heard(done: Pass) -> None:
            if as_json:
                emit(True, pass_data(done, vault.now()), lambda: None)
                return
            news, warnings = pass_lines(done)
            for line in news:
                click.echo(line)
            for line in warnings:
                if line not in said:
                    warn(line)
            said[:] = warnings

        def end(number: int, frame: FrameType | None) -> None:
            scheduler.ended.set()

        scheduler = vault.scheduler(
            session.name,
            rotators=rotators,
            most=most,
            interval=interval,
            accept_clock=accept_clock,
            heard=heard,
        )
        signal.signal(signal.SIGTERM, end)
        if not once:
            scheduler.run()
            return
        done = scheduler.run_once()
        heard(done)
    if not done.led:
        click.echo("another process is rotating; nothing was done here", err=True)
    raise click.exceptions.Exit(exit_status(done.failed[0]) if done.failed else 0)
