"""Commands about grants and leases."""

from datetime import datetime, timedelta
from typing import Any, cast

import click

from interpreters.cli.base import (
    Duration,
    Moment,
    QuietCommand,
    Session,
    environment_option,
    json_option,
    pass_session,
)
from interpreters.cli.output import emit, rate_text, span, stamp, table
from interpreters.conversions import when
from interpreters.grant_terms import TermOptions
from ironsecrets.conditions import Conditions

DURATION, MOMENT = Duration(), Moment()


def conditions_text(conditions: Conditions) -> list[str]:
    """Conditions beside times and uses, for people."""
    said = [f"not before {when(conditions.not_before)}"] if conditions.not_before is not None else []
    said += [rate_text(conditions.rate)] if conditions.rate is not None else []
    said += [window.text() for window in conditions.windows]
    return said + ([f"needs {conditions.permission}"] if conditions.permission is not None else [])


def conditions_data(conditions: Conditions) -> dict[str, Any]:
    """Conditions for programs."""
    return {
        "ttl_seconds": conditions.default_ttl / 1e6,
        "max_ttl_seconds": conditions.maximum_ttl / 1e6,
        "not_before": stamp(conditions.not_before),
        "expires_at": stamp(conditions.expires_at),
        "uses": conditions.uses,
        "rate": None if conditions.rate is None else rate_text(conditions.rate),
        "windows": [window.text() for window in conditions.windows],
        "permission": conditions.permission,
    }


def term_options(function: Any) -> Any:
    """On what terms a grant is made."""
    for option in (
        click.option("--permission", metavar="P", help="What the agent's token must carry, such as llm:call."),
        click.option(
            "--window",
            "windows",
            multiple=True,
            metavar="W",
            help="Hours, such as 'Mon-Fri 08:00-18:00 Europe/Berlin'; repeat for more [default: any].",
        ),
        click.option("--rate", metavar="R", help="How often, such as 10/1m or '100/1h burst 5' [default: any]."),
        click.option("--uses", type=click.IntRange(1), metavar="N", help="How many leases [default: any number]."),
        click.option("--not-before", type=MOMENT, help="When it begins, such as 2027-01-01T08:00Z [default: now]."),
        click.option("--expires", type=DURATION, help="When the grant ends."),
        click.option("--max-ttl", type=DURATION, help="How long a lease may last [default: ttl]."),
        click.option("--ttl", type=DURATION, help="How long a lease lasts [default: 15m]."),
    ):
        function = option(function)
    return function


def given_terms(
    ttl: timedelta | None,
    max_ttl: timedelta | None,
    expires: timedelta | None,
    not_before: datetime | None,
    uses: int | None,
    rate: str | None,
    windows: tuple[str, ...],
    permission: str | None,
) -> TermOptions:
    """What was said of terms, and nothing that was not."""
    said = {
        "ttl": ttl,
        "max_ttl": max_ttl,
        "expires_in": expires,
        "not_before": not_before,
        "uses": uses,
        "rate": rate,
        "windows": windows or None,
        "permission": permission,
    }
    return cast(TermOptions, {name: value for name, value in said.items() if value is not None})


@click.command(
    cls=QuietCommand,
    epilog="Example: ironsecrets grant agent_researcher 'openai/*' --env production --ttl 15m --expires 30d",
)
@click.argument("agent_id", metavar="AGENT")
@click.argument("selector")
@environment_option
@term_options
@click.option(
    "--break-glass", is_flag=True, help="An emergency: ends within an hour, needs --reason, and is told loudly."
)
@click.option("--reason", metavar="TEXT", help="Why the glass is broken.")
@json_option
@pass_session
def grant(
    session: Session,
    agent_id: str,
    selector: str,
    environment: str,
    break_glass: bool,
    reason: str | None,
    as_json: bool,
    **terms: Any,
) -> None:
    """Let AGENT lease what SELECTOR covers: a name, 'prefix/*', 'prefix/**' or '**'."""
    if break_glass != (reason is not None):
        raise click.UsageError("--break-glass and --reason go together")
    options = given_terms(**terms)
    with session.open() as vault:
        operator = session.operator(vault)
        if reason is None:
            made = operator.grant(agent_id, selector, environment=environment, **options)
        else:
            made = operator.break_glass(agent_id, selector, environment=environment, reason=reason, **options)
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
            **conditions_data(one.conditions),
            "used": one.used,
            "break_glass": one.reason,
        }
        for one in found
    ]
    rows = [
        (
            one.id,
            one.agent,
            one.selector,
            one.environment,
            span(one.conditions.default_ttl),
            when(one.conditions.expires_at) or "never",
            f"{one.used}" if one.conditions.uses is None else f"{one.used} of {one.conditions.uses}",
            "; ".join((*conditions_text(one.conditions), *([f"BREAK-GLASS: {one.reason}"] if one.reason else []))),
        )
        for one in found
    ]
    columns = ("GRANT", "AGENT", "SELECTOR", "ENVIRONMENT", "TTL", "EXPIRES", "USED", "CONDITIONS")
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
