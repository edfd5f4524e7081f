"""``audit report``: who could reach what, and who did."""

import csv
import io
from datetime import datetime
from pathlib import Path

import attrs
import click

from interpreters.cli.audit_commands import audit
from interpreters.cli.base import Moment, Session, pass_session
from interpreters.cli.output import emit, stamp, table, warn
from interpreters.conversions import micros_of, when
from interpreters.files import write_private
from interpreters.report_page import COLUMNS, denied_row, page, row
from ironsecrets.encoding import as_fields
from ironsecrets.reach import denied


@audit.command("report", epilog="Example: ironsecrets audit report --agent agent_researcher --html report.html")
@click.option("--agent", metavar="ID", help="Only this agent.")
@click.option("--secret", metavar="NAME", help="Only this secret.")
@click.option("--env", "environment", metavar="E", help="Only this environment.")
@click.option("--since", type=Moment(past=True), metavar="TIME", help="Only what reaches into the time from here on.")
@click.option("--until", type=Moment(past=True), metavar="TIME", help="Only what began before.")
@click.option("--segments", metavar="DIR", type=click.Path(path_type=Path), help="Tell of archived entries too.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV (RFC 4180).")
@click.option("--html", metavar="FILE", type=click.Path(path_type=Path), help="Write one self-contained page.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@pass_session
def report(
    session: Session,
    agent: str | None,
    secret: str | None,
    environment: str | None,
    since: datetime | None,
    until: datetime | None,
    segments: Path | None,
    as_csv: bool,
    html: Path | None,
    as_json: bool,
) -> None:
    """Tell who could reach what, from when until when, and who did, from the log alone.

    A line is one agent, one secret and one grant; "never" where an agent asked for what no grant gave it. Hours, rates,
    suspensions and the kill switch narrow it further; what they refused is counted.
    """
    start = None if since is None else micros_of(since)
    end = None if until is None else micros_of(until)
    with session.open() as vault:
        whole = vault.account(segments)
        title = f"Access report of vault {vault.header.vault}"
    reaches = tuple(
        attrs.evolve(one, leases=tuple(at for at in one.leases if _inside(at, start, end)))
        for one in whole.reaches
        if agent in (None, one.agent)
        and secret in (None, one.name)
        and environment in (None, one.environment)
        and one.within(start, end)
    )
    attempts = tuple(
        one
        for one in whole.attempts
        if agent in (None, one.agent)
        and secret in (None, one.name)
        and environment in (None, one.environment)
        and _inside(one.at, start, end)
    )
    rows = [row(one) for one in reaches] + [denied_row(one) for one in denied(whole.reaches, attempts)]
    untold = f"the first {whole.untold} entries are archived: who used or was refused what then is not told"
    if whole.untold and not as_json:
        warn(f"{untold} (--segments DIR tells it)")
    if html is not None:
        asked = [f"agent {agent}"] * bool(agent) + [f"secret {secret}"] * bool(secret)
        asked += [f"environment {environment}"] * bool(environment) + [f"since {when(start)}"] * (start is not None)
        about = f" Only {', '.join(asked)}." if asked else ""
        summary = f"Replayed from {whole.entries} entries, the last at {when(whole.at)}.{about}"
        summary += f" But {untold}." if whole.untold else ""
        made = page(title=title, summary=summary, rows=rows, reaches=reaches, attempts=attempts, until=whole.at)
        write_private(html, [made.encode()])
        click.echo(f"wrote {html}: {len(rows)} line{'s' * (len(rows) != 1)}")
        return
    if as_csv:
        text = io.StringIO()
        csv.writer(text).writerows([COLUMNS, *rows])
        click.echo(text.getvalue(), nl=False)
        return
    data = {
        "entries": whole.entries,
        "at": stamp(whole.at),
        "untold": whole.untold,
        "reaches": [as_fields(one) for one in reaches],
        "refused": [as_fields(one) for one in attempts],
    }
    emit(as_json, data, lambda: table("", [column.upper() for column in COLUMNS], rows))


def _inside(at: int, start: int | None, end: int | None) -> bool:
    return (start is None or at >= start) and (end is None or at < end)
