"""``run``: a command with an agent's secrets in its environment."""

import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from interpreters.cli.base import Duration, QuietCommand, Session, environment_option, pass_session
from interpreters.cli.output import warn
from interpreters.injection import assignments, run_command
from interpreters.references import VARIABLE, Parts, Reference, read_template
from interpreters.supervision import Restart
from ironsecrets.identifiers import parse_secret_name


class Assignment(click.ParamType[tuple[str, str]]):
    """``VAR=NAME``."""

    name = "VAR=NAME"

    def convert(
        self, value: str | tuple[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        variable, _, name = value.partition("=")
        bad = parse_secret_name(name).map(lambda _: False).value_or(True)
        if bad or VARIABLE.fullmatch(variable) is None:
            self.fail("write VAR=NAME, with the name of a secret (not its value)", param, ctx)
        return variable, name


class OnRotation(click.ParamType[signal.Signals | Restart]):
    """``restart``, or ``signal:`` and the name of a signal."""

    name = "signal:NAME|restart"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> signal.Signals | Restart:
        if value == "restart":
            return Restart()
        kind, _, signal_name = str(value).upper().partition(":")
        if kind == "SIGNAL" and (found := signal.Signals.__members__.get(f"SIG{signal_name.removeprefix('SIG')}")):
            return found
        return self.fail("write restart, or signal: and the name of a signal, such as signal:USR1", param, ctx)


class RunCommand(QuietCommand):
    """Everything behind the first word that is no option belongs to the command."""

    allow_interspersed_args = False


@click.command(
    cls=RunCommand,
    epilog="Example: ironsecrets run --agent agent_researcher --env production -- python agent.py",
)
@click.option("--agent", "agent_id", required=True, metavar="ID", help="Whose grants apply.")
@environment_option
@click.option(
    "--set",
    "chosen",
    multiple=True,
    type=Assignment(),
    help="Inject the secret NAME as VAR; repeat for more [default: everything the agent may lease].",
)
@click.option(
    "--template",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="An env file whose values may be references: ironsecrets://production/openai/api-key.",
)
@click.option(
    "--permission", "permissions", multiple=True, metavar="P", help="What the agent is permitted, as llm:call."
)
@click.option(
    "--redact", is_flag=True, help="Scrub the values from the command's output, which then goes through pipes."
)
@click.option(
    "--on-rotate",
    type=OnRotation(),
    help="After a value was rotated: signal:USR1 (or another) to the command, or restart it.",
)
@click.option(
    "--grace", type=Duration(), default=timedelta(seconds=10), help="Before a restart kills the old one [default: 10s]."
)
@click.option(
    "--env-file",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Keep the variables in this file too (mode 0600), up to date; removed at the end.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@pass_session
def run(
    session: Session,
    agent_id: str,
    environment: str,
    chosen: tuple[tuple[str, str], ...],
    template: Path | None,
    permissions: tuple[str, ...],
    redact: bool,
    on_rotate: signal.Signals | Restart | None,
    grace: timedelta,
    env_file: Path | None,
    command: tuple[str, ...],
) -> None:
    """Run COMMAND with the agent's secrets in its environment; exits with the command's own status.

    A command that runs for long need not miss a rotation: it can be signalled or started anew, and find the new
    values in a file that is replaced before the signal.
    """
    if isinstance(on_rotate, Restart):
        on_rotate = Restart(grace.total_seconds())
    variables: dict[str, Parts] = {}
    if template is not None:
        read, warnings = read_template(template)
        variables |= read
        for line in warnings:
            warn(line)
    variables |= {variable: (Reference(environment, name),) for variable, name in chosen}
    with session.open() as vault:
        agent = vault.acting_for(agent_id, permissions=permissions)
        status = run_command(
            vault,
            agent=agent,
            variables=variables or assignments(vault, agent, environment),
            command=command,
            on_rotate=on_rotate,
            env_file=env_file,
            redact=redact,
        )
    raise click.exceptions.Exit(status)
