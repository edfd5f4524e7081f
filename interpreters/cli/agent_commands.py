"""Commands about agents."""

import sys
from datetime import timedelta

import click

from interpreters.cli.base import Duration, QuietGroup, Session, json_option, pass_session
from interpreters.cli.output import emit, rate_text, span, stamp, table
from interpreters.conversions import MICROSECOND, when
from interpreters.ic_tokens import ICTokens
from ironsecrets.agents import AgentRecord
from ironsecrets.ic_tokens import TOKEN_LIMIT
from ironsecrets.rates import RATE_BURST

DURATION = Duration()


@click.group(cls=QuietGroup, epilog="Example: ironsecrets agent add agent_researcher")
def agent() -> None:
    """Add, list, suspend, resume and remove agents."""


@agent.command("add", epilog="Example: ironsecrets agent add agent_researcher")
@click.argument("agent_id", metavar="ID")
@click.option("--replace", is_flag=True, help="Give a new token to an agent that has one; the old one ends.")
@click.option(
    "--ic-budget", metavar="BUDGET", help="Make it an IC token with this budget id, signed with IC_TOKEN_SECRET."
)
@click.option("--permission", "permissions", multiple=True, metavar="P", help="What the IC token permits, as llm:call.")
@click.option("--expires", type=DURATION, help="When the IC token ends [default: never].")
@json_option
@pass_session
def add(
    session: Session,
    agent_id: str,
    replace: bool,
    ic_budget: str | None,
    permissions: tuple[str, ...],
    expires: timedelta | None,
    as_json: bool,
) -> None:
    """Give an agent its one valid token. It is shown this once and kept as a digest only."""
    if ic_budget is None and (permissions or expires is not None):
        raise click.UsageError("--permission and --expires go with --ic-budget; a vault's own token has neither")
    tokens = None if ic_budget is None else ICTokens.from_environment()
    with session.open() as vault:
        operator = session.operator(vault)
        if ic_budget is None or tokens is None:
            made = operator.enroll(agent_id, replace=replace)
        else:
            made = operator.enroll_ic(
                agent_id, tokens, budget=ic_budget, permissions=permissions, expires_in=expires, replace=replace
            )
        with made as token:
            text = token.text()
            emit(as_json, {"agent": agent_id, "token": text}, lambda: click.echo(text))


@agent.command("adopt", epilog="Example: ironsecrets agent adopt --replace < ic-token.txt")
@click.option("--replace", is_flag=True, help="Where the agent has a token already; the old one ends.")
@json_option
@pass_session
def adopt(session: Session, replace: bool, as_json: bool) -> None:
    """Take an IC token from stdin, as a control panel issued it, for its agent's one valid token.

    Its signature is checked with IC_TOKEN_SECRET.
    """
    tokens = ICTokens.from_environment()
    text = sys.stdin.read(2 * TOKEN_LIMIT).strip()
    with session.open() as vault:
        adopted = session.operator(vault).adopt_ic(text, tokens, replace=replace)
    emit(as_json, {"agent": adopted}, lambda: click.echo(f"{adopted}: that is its token now"))


@agent.command("limit", epilog="Example: ironsecrets agent limit agent_researcher 100/1h")
@click.argument("agent_id", metavar="ID")
@click.argument("rate", required=False)
@click.option("--none", "no_limit", is_flag=True, help="No limit beside those of its grants.")
@pass_session
def limit(session: Session, agent_id: str, rate: str | None, no_limit: bool) -> None:
    """How often an agent may lease under all its grants together: RATE is a number and a time, such as 100/1h."""
    if (rate is None) != no_limit:
        raise click.UsageError("give a RATE or --none")
    with session.open() as vault:
        session.operator(vault).limit(agent_id, rate)
    click.echo(f"{agent_id}: {rate or 'no limit'}")


@agent.command("auto-suspend", epilog="Example: ironsecrets agent auto-suspend --refusals 20 --within 10m")
@click.option(
    "--refusals", type=click.IntRange(1, RATE_BURST), default=20, show_default=True, help="How many are borne."
)
@click.option("--within", type=DURATION, default="10m", show_default=True, help="In how long a time.")
@click.option("--off", is_flag=True, help="Never suspend an agent by itself.")
@pass_session
def auto_suspend(session: Session, refusals: int, within: timedelta, off: bool) -> None:
    """Suspend an agent that is refused more often than this. It is on unless you turn it off."""
    with session.open() as vault:
        session.operator(vault).auto_suspend(refusals=refusals, within=None if off else within)
    click.echo("off" if off else f"more than {refusals} refusals in {span(within // MICROSECOND)} suspend an agent")


@agent.command("list", epilog="Example: ironsecrets agent list --json")
@json_option
@pass_session
def list_agents(session: Session, as_json: bool) -> None:
    """List agents."""
    with session.open() as vault:
        found = session.operator(vault).agents()
    data = [
        {
            "agent": one.id,
            "status": _status(one),
            "suspended_at": stamp(one.suspended_at),
            "token": one.token,
            "rate": None if one.rate is None else rate_text(one.rate),
            "created_at": stamp(one.created_at),
        }
        for one in found
    ]
    rows = [
        (
            one.id,
            _status(one),
            one.token or "none",
            "" if one.rate is None else rate_text(one.rate),
            when(one.created_at),
        )
        for one in found
    ]
    emit(as_json, data, lambda: table("", ("AGENT", "STATUS", "TOKEN ID", "RATE", "SINCE"), rows))


def _status(one: AgentRecord) -> str:
    if one.suspended_at is None:
        return "active"
    return "suspended: refused too often" if one.suspended_for == "refusals" else "suspended"


@agent.command("suspend", epilog="Example: ironsecrets agent suspend agent_researcher")
@click.argument("agent_id", metavar="ID")
@pass_session
def suspend(session: Session, agent_id: str) -> None:
    """End an agent's leases and refuse it everything until it is resumed."""
    with session.open() as vault:
        session.operator(vault).suspend(agent_id)
    click.echo(f"{agent_id}: suspended")


@agent.command("resume", epilog="Example: ironsecrets agent resume agent_researcher")
@click.argument("agent_id", metavar="ID")
@pass_session
def resume(session: Session, agent_id: str) -> None:
    """End a suspension."""
    with session.open() as vault:
        session.operator(vault).resume(agent_id)
    click.echo(f"{agent_id}: resumed")


@agent.command("remove", epilog="Example: ironsecrets agent remove agent_researcher")
@click.argument("agent_id", metavar="ID")
@pass_session
def remove(session: Session, agent_id: str) -> None:
    """Forget an agent with its token, grants and leases."""
    with session.open() as vault:
        session.operator(vault).remove(agent_id)
    click.echo(f"{agent_id}: removed")
