"""Commands about access requests, and the kill switch."""

from datetime import timedelta
from typing import Any

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
from interpreters.cli.grant_commands import conditions_data, conditions_text, given_terms, term_options
from interpreters.cli.output import emit, span, stamp, table
from interpreters.conversions import MICROSECOND, when
from ironsecrets.access_requests import AccessRequest


@click.group(cls=QuietGroup, epilog="Example: ironsecrets request list")
def request() -> None:
    """Agents ask for what they may not lease; operators approve or decline."""


@request.command("ask", epilog="Example: ironsecrets request ask billing/key --agent agent_clerk --reason 'month end'")
@click.argument("name")
@environment_option
@click.option("--agent", "agent_id", required=True, metavar="ID", help="Who asks; you vouch for it.")
@click.option("--reason", required=True, metavar="TEXT", help="Why.")
@json_option
@pass_session
def ask(session: Session, name: str, environment: str, agent_id: str, reason: str, as_json: bool) -> None:
    """Ask for an agent that it be granted NAME."""
    with session.open() as vault:
        key = vault.acting_for(agent_id).request_access(name, environment=environment, reason=reason)
    emit(as_json, {"request": key}, lambda: click.echo(key))


@request.command("list", epilog="Example: ironsecrets request list --json")
@json_option
@pass_session
def list_requests(session: Session, as_json: bool) -> None:
    """List open requests."""
    with session.open() as vault:
        found = session.operator(vault).requests()
    columns = ("REQUEST", "AGENT", "NAME", "ENVIRONMENT", "REASON", "EXPIRES", "PROPOSED")

    def people() -> None:
        if not found:
            click.echo("no open requests")
            return
        table("", columns, (_row(one) for one in found))

    emit(as_json, [_data(one) for one in found], people)


def _row(one: AccessRequest) -> tuple[object, ...]:
    proposed = ""
    if one.conditions is not None:
        terms = (f"ttl {span(one.conditions.default_ttl)}", *conditions_text(one.conditions))
        proposed = f"by {', '.join(one.approvals)}: {'; '.join(terms)}"
    return one.id, one.agent, one.name, one.environment, one.reason, when(one.expires_at), proposed


def _data(one: AccessRequest) -> dict[str, Any]:
    return {
        "request": one.id,
        "agent": one.agent,
        "name": one.name,
        "environment": one.environment,
        "reason": one.reason,
        "requested_at": stamp(one.requested_at),
        "expires_at": stamp(one.expires_at),
        "approvals": list(one.approvals),
        "conditions": None if one.conditions is None else conditions_data(one.conditions),
    }


@request.command("approve", epilog="Example: ironsecrets request approve ar_0123456789abcdef --ttl 15m --expires 1d")
@click.argument("request_id", metavar="REQUEST")
@term_options
@json_option
@pass_session
def approve(session: Session, request_id: str, as_json: bool, **terms: Any) -> None:
    """Agree to a request, on these terms [default: what another operator proposed; else 15m leases for 1d].

    Under the rule of two the first approval proposes, and another operator's makes the grant.
    """
    with session.open() as vault:
        made = session.operator(vault).approve(request_id, **given_terms(**terms))
    said = made or f"{request_id}: proposed; another operator must agree"
    emit(as_json, {"request": request_id, "grant": made}, lambda: click.echo(said))


@request.command("decline", epilog="Example: ironsecrets request decline ar_0123456789abcdef --reason 'ask billing'")
@click.argument("request_id", metavar="REQUEST")
@click.option("--reason", metavar="TEXT", help="Why, for the log.")
@pass_session
def decline(session: Session, request_id: str, reason: str | None) -> None:
    """End a request without a grant."""
    with session.open() as vault:
        session.operator(vault).decline(request_id, reason=reason)
    click.echo(f"{request_id}: declined")


@request.command("policy", epilog="Example: ironsecrets request policy --approvals 2")
@click.option("--approvals", type=click.IntRange(1, 2), default=1, show_default=True, help="How many operators agree.")
@click.option("--expires", type=Duration(), default="1d", show_default=True, help="How long a request stays open.")
@pass_session
def policy(session: Session, approvals: int, expires: timedelta) -> None:
    """How requests are settled from now on."""
    with session.open() as vault:
        session.operator(vault).request_policy(approvals=approvals, lifetime=expires)
    many = "one operator approves" if approvals == 1 else "two operators approve"
    click.echo(f"{many}; a request is open for {span(expires // MICROSECOND)}")


@click.command(cls=QuietCommand, epilog="Example: ironsecrets seal --reason 'agent runs wild'")
@click.option("--reason", metavar="TEXT", help="Why, for the log.")
@pass_session
def seal(session: Session, reason: str | None) -> None:
    """The kill switch: end every lease and refuse every agent, at once and in every process."""
    with session.open() as vault:
        session.operator(vault).seal(reason=reason)
    click.echo("sealed: every lease has ended, and every agent is refused until `unseal`")


@click.command(cls=QuietCommand, epilog="Example: ironsecrets unseal")
@pass_session
def unseal(session: Session) -> None:
    """Let agents ask again. Grants are as they were; leases stay ended."""
    with session.open() as vault:
        session.operator(vault).unseal()
    click.echo("unsealed")
