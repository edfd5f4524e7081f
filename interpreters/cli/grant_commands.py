"""Commands about agents, grants and leases."""

from datetime import timedelta

import click

from interpreters.cli.base import (
    Duration,
    QuietCommand,
    QuietGroup,
    Session,
    environment_option,
    json_option,
    pass_session,
)
from interpreters.cli.output import emit, span, stamp, table, when

DURATION = Duration()


@click.group(cls=QuietGroup, epilog="Example: ironsecrets agent add agent_researcher")
def agent() -> None:
    """Add, list, suspend, resume and remove agents."""


@agent.command("add", epilog="Example: ironsecrets agent add agent_researcher")
@click.argument("agent_id", metavar="ID")
@click.option("--replace", is_flag=True, help="Give a new token to an agent that has one; the old one ends.")
@json_option
@pass_session
def add(session: Session, agent_id: str, replace: bool, as_json: bool) -> None:
    """Give an agent its token. It is shown this once and kept as a digest only."""
    with session.open() as vault, session.operator(vault).enroll(agent_id, replace=replace) as token:
        text = token.bytes().decode()
        emit(as_json, {"agent": agent_id, "token": text}, lambda: click.echo(text))


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
            "status": "active" if one.suspended_at is None else "suspended",
            "token": one.token,
            "created_at": stamp(one.created_at),
        }
        for one in found
    ]
    rows = [
        (
            one.id,
            "active" if one.suspended_at is None else "suspended",
            one.token or "none",
            when(one.created_at),
        )
        for one in found
    ]
    emit(as_json, data, lambda: table("", ("AGENT", "STATUS", "TOKEN ID", "SINCE"), rows))


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


@click.command(
    cls=QuietCommand,
    epilog="Example: ironsecrets grant agent_researcher 'openai/*' --env production --ttl 15m --expires 30d",
)
@click.argument("agent_id", metavar="AGENT")
@click.argument("selector")
@environment_option
@click.option("--ttl", type=DURATION, default="15m", show_default=True, help="How long a lease lasts.")
@click.option("--max-ttl", type=DURATION, help="How long a lease may last when asked for or renewed [default: ttl].")
@click.option("--expires", type=DURATION, help="When the grant ends [default: never].")
@click.option("--uses", type=click.IntRange(1), metavar="N", help="How many leases [default: any number].")
@json_option
@pass_session
def grant(
    session: Session,
    agent_id: str,
    selector: str,
    environment: str,
    ttl: timedelta,
    max_ttl: timedelta | None,
    expires: timedelta | None,
    uses: int | None,
    as_json: bool,
) -> None:
    """Let AGENT lease what SELECTOR covers: a name, 'prefix/*', 'prefix/**' or '**'."""
    with session.open() as vault:
        made = session.operator(vault).grant(
            agent_id,
            selector,
            environment=environment,
            ttl=ttl,
            max_ttl=max_ttl,
            expires_in=expires,
            uses=uses,
        )
    emit(as_json, {"grant": made}, lambda: click.echo(made))


@click.command(cls=QuietCommand, epilog="Example: ironsecrets grants --json")
@json_option
@pass_session
def grants(session: Session, as_json: bool) -> None:
    """List live grants."""
    with session.open() as vault:
        found = session.operator(vault).grants()
    data = [
        {
            "grant": one.id,
            "agent": one.agent,
            "selector": one.selector,
            "environment": one.environment,
            "ttl_seconds": one.default_ttl / 1e6,
            "max_ttl_seconds": one.maximum_ttl / 1e6,
            "expires_at": stamp(one.expires_at),
            "used": one.used,
            "uses": one.uses,
        }
        for one in found
    ]
    rows = [
        (
            one.id,
            one.agent,
            one.selector,
            one.environment,
            span(one.default_ttl),
            when(one.expires_at) or "never",
            f"{one.used}" if one.uses is None else f"{one.used} of {one.uses}",
        )
        for one in found
    ]
    columns = ("GRANT", "AGENT", "SELECTOR", "ENVIRONMENT", "TTL", "EXPIRES", "USED")
    emit(as_json, data, lambda: table("", columns, rows))


@click.command(cls=QuietCommand, epilog="Example: ironsecrets leases")
@json_option
@pass_session
def leases(session: Session, as_json: bool) -> None:
    """List live leases."""
    with session.open() as vault:
        found = session.operator(vault).leases()
    data = [
        {
            "lease": one.id,
            "agent": one.agent,
            "name": one.name,
            "environment": one.environment,
            "grant": one.grant,
            "opened_at": stamp(one.opened_at),
            "expires_at": stamp(one.expires_at),
        }
        for one in found
    ]
    rows = [(one.id, one.agent, one.name, one.environment, when(one.expires_at)) for one in found]
    emit(as_json, data, lambda: table("", ("LEASE", "AGENT", "NAME", "ENVIRONMENT", "EXPIRES"), rows))


@click.command(cls=QuietCommand, epilog="Example: ironsecrets revoke --agent agent_researcher")
@click.argument("grant_id", metavar="GRANT", required=False)
@click.option("--agent", "agent_id", metavar="ID", help="Every grant of one agent.")
@click.option("--lease", "lease_id", metavar="LEASE", help="One lease; its grant stays.")
@click.option("--all", "everything", is_flag=True, help="Every grant of every agent.")
@pass_session
def revoke(
    session: Session, grant_id: str | None, agent_id: str | None, lease_id: str | None, everything: bool
) -> None:
    """End a grant and its leases, at once and in every process."""
    if sum((grant_id is not None, agent_id is not None, lease_id is not None, everything)) != 1:
        raise click.UsageError("say which: GRANT, --agent ID, --lease LEASE or --all")
    with session.open() as vault:
        operator = session.operator(vault)
        if grant_id is not None:
            operator.revoke(grant_id)
        elif agent_id is not None:
            operator.revoke_agent(agent_id)
        elif lease_id is not None:
            operator.revoke_lease(lease_id)
        else:
            operator.revoke_all()
    click.echo("revoked")
