"""``run``: a command with an agent's secrets in its environment."""

import re

import click

from interpreters.cli.base import QuietCommand, Session, environment_option, pass_session
from interpreters.injection import assignments, run_command
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
        if bad or re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable) is None:
            self.fail("write VAR=NAME, with the name of a secret (not its value)", param, ctx)
        return variable, name


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
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@pass_session
def run(
    session: Session,
    agent_id: str,
    environment: str,
    chosen: tuple[tuple[str, str], ...],
    command: tuple[str, ...],
) -> None:
    """Run COMMAND with the agent's secrets in its environment; exits with the command's own status."""
    with session.open() as vault:
        variables = dict(chosen) or assignments(vault, agent_id, environment)
        status = run_command(vault, agent=agent_id, environment=environment, variables=variables, command=command)
    raise click.exceptions.Exit(status)
