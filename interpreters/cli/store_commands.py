"""``migrate`` and ``schema``: where a vault is kept."""

from collections.abc import Mapping

import click

from interpreters.cli.base import QuietCommand, Session, WhereItIs, json_option, pass_session
from interpreters.cli.output import emit, progress
from interpreters.places import Place, check_free, make_room
from interpreters.postgres import needed
from interpreters.postgres.location import Location


@click.command(
    cls=QuietCommand, epilog="Example: ironsecrets --vault team.vault migrate --to 'postgresql://db/app?vault=team'"
)
@click.option("--to", "target", required=True, type=WhereItIs(), metavar="PATH|URL", help="Where nothing may be yet.")
@json_option
@pass_session
def migrate(session: Session, target: Place, as_json: bool) -> None:
    """Copy the vault elsewhere, from a file to PostgreSQL or back: the same log, with the same root hash.

    What arrives is verified by replay before it counts. Stop those who write first: the old vault stays as it was,
    and what is written to it from then on is not in the new one.
    """
    check_free(target)
    make_room(target)
    with session.open() as vault, progress("migrating") as bar:
        moved = vault.migrate(target, bar)
    shown = moved.verification
    data = {
        "from": str(session.place),
        "to": str(target),
        "entries": shown.entries,
        "records": shown.records,
        "root": moved.root,
    }
    emit(as_json, data, lambda: click.echo(_said(data)))


def _said(data: Mapping[str, object]) -> str:
    return (
        f"migrated to {data['to']}: {data['entries']} entries, {data['records']} records, verified\n"
        f"root hash {data['root']}, as before\n"
        f"{data['from']} is left as it was: point everything to the new one, then remove it"
    )


@click.command(
    cls=QuietCommand, epilog="Example: ironsecrets --vault postgresql://owner@db/app schema --service app_service"
)
@click.option("--service", metavar="ROLE", help="Give this role what a service needs; it cannot change the log.")
@click.option("--archives", is_flag=True, help="The role may also archive, which takes entries out.")
@click.option("--print", "only_print", is_flag=True, help="Print the role's statements instead of running them.")
@pass_session
def schema(session: Session, service: str | None, archives: bool, only_print: bool) -> None:
    """Make the tables of vaults in PostgreSQL, or bring them to this version; as their owner."""
    if not isinstance(session.place, Location):
        raise click.UsageError("a schema is for --vault postgresql://...; a file makes its own")
    if (archives or only_print) and service is None:
        raise click.UsageError("--archives and --print are for --service")
    roles = needed("interpreters.postgres.roles")
    if service is not None and only_print:
        click.echo(roles.script(session.place, service, archives=archives), nl=False)
        return
    roles.provision(session.place, service, archives=archives)
    given = f"; {service} may use it" if service else ""
    click.echo(f"{session.place.shown}: schema {session.place.schema} is of this version{given}")
