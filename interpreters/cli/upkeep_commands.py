"""``backup``, ``restore``, ``compact`` and ``doctor``."""

from pathlib import Path

import click

from interpreters.cli.base import QuietCommand, Session, json_option, pass_session
from interpreters.cli.output import emit, progress, size_text, table
from interpreters.cli.text_files import read_text
from interpreters.conversions import accepted
from interpreters.doctor import examine
from interpreters.places import check_free, make_room
from interpreters.upkeep import restore as put_back
from ironsecrets.identifiers import parse_person_name
from ironsecrets.principals import Operator


@click.command(cls=QuietCommand, epilog="Example: ironsecrets backup /mnt/backups/team-2026-11-24.vault")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@pass_session
def backup(session: Session, file: Path, as_json: bool) -> None:
    """Copy the vault into one new FILE, verified before it gets its name, while others go on writing.

    FILE is as secret as the vault: it shows sizes and counts, and opens with the same passphrase.
    """
    with session.open() as vault, progress("verifying the backup") as bar:
        made = vault.backup(file, bar)
    shown = made.verification
    data = {"path": str(file), "bytes": made.size, "entries": shown.entries, "records": shown.records}
    said = f"backed up to {file}: {size_text(made.size)}, {shown.entries} entries, {shown.records} records, verified"
    emit(as_json, data, lambda: click.echo(said))


@click.command(cls=QuietCommand, epilog="Example: ironsecrets --vault team.vault restore /mnt/backups/team.vault")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--checkpoint", metavar="C", type=click.Path(path_type=Path), help="Refuse a backup from before it.")
@json_option
@pass_session
def restore(session: Session, file: Path, checkpoint: Path | None, as_json: bool) -> None:
    """Put the backup FILE at --vault, where nothing may be: verify it, and mark the restore in its log.

    With IRONSECRETS_WITNESS set, a backup that is behind what the witness has seen is refused.
    """
    check_free(session.place)
    make_room(session.place)
    credential = session.unlocking()
    with credential.material, progress("verifying the backup") as bar:
        shown = put_back(
            file,
            session.place,
            credential,
            Operator(accepted(parse_person_name(session.name))),
            checkpoint=read_text(checkpoint) if checkpoint else None,
            witness=session.witness(),
            progress=bar,
        )
    data = {"path": str(session.place), "entries": shown.entries, "records": shown.records}
    said = f"restored to {session.place}: {shown.entries} entries, {shown.records} records, verified; the log says so"
    emit(as_json, data, lambda: click.echo(said))


@click.command(cls=QuietCommand, epilog="Example: ironsecrets compact")
@json_option
@pass_session
def compact(session: Session, as_json: bool) -> None:
    """Rewrite the file without its free pages. Others wait meanwhile."""
    with session.open() as vault:
        made = vault.compact()
    data = {"before": made.before, "after": made.after, "final": made.final}
    emit(as_json, data, lambda: click.echo(f"compacted: {size_text(made.before)} to {size_text(made.after)}"))


@click.command(cls=QuietCommand, epilog="Example: ironsecrets doctor")
@json_option
@pass_session
def doctor(session: Session, as_json: bool) -> None:
    """Examine the vault: its file or server, the log, every record, slots, keys, sinks; and say what to do.

    Exit status 5 where something is broken, 0 where there are at most warnings.
    """
    with progress("examining") as bar:
        found = examine(session.place, session.unlocking, sinks=session.sinks(), progress=bar)
    data = [{"check": one.check, "verdict": one.verdict, "found": one.found, "advice": one.advice} for one in found]
    rows = [(one.verdict, one.check, one.found, one.advice) for one in found]
    emit(as_json, data, lambda: table("", ("", "CHECK", "FOUND", "WHAT TO DO"), rows))
    if any(one.verdict == "broken" for one in found):
        raise click.exceptions.Exit(5)
