"""Commands for auditors."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from returns.result import Failure, Success

from interpreters.cli.archive_output import diverged, told_of, verify_folder
from interpreters.cli.base import Moment, QuietGroup, Session, json_option, pass_session
from interpreters.cli.log_filter import Wanted, selected
from interpreters.cli.output import Progress, emit, progress, table
from interpreters.cli.text_files import read_key, read_text, unreadable
from interpreters.conversions import when
from ironsecrets.audit import AuditEntry
from ironsecrets.checkpoint import Checkpoint, parse_verifier_key, verify_checkpoint
from ironsecrets.encoding import as_fields
from ironsecrets.errors import IntegrityError
from ironsecrets.events import LOUD
from ironsecrets.refusals import APPLIED
from ironsecrets.replaying import verify_log

COLUMNS = ("SEQ", "TIME", "PRINCIPAL", "COMMAND", "ABOUT", "VERDICT")
FOLLOW_SECONDS = 0.2
LINE_LIMIT = 64 * 1024 + 2


@click.group(cls=QuietGroup, epilog="Example: ironsecrets audit verify")
def audit() -> None:
    """Read, verify and export the audit log."""


@audit.command("log", epilog="Example: ironsecrets audit log --agent agent_researcher --since 2026-11-01T00:00Z")
@click.option("--last", type=click.IntRange(1), metavar="N", help="Only the last N entries that fit.")
@click.option("--agent", metavar="ID", help="What this agent asked for, and what was done about it.")
@click.option("--secret", metavar="NAME", help="What names this secret, or a selector that covers it.")
@click.option("--env", "environment", metavar="E", help="What names this environment.")
@click.option("--command", metavar="TYPE", help="Commands of this type, such as lease.")
@click.option("--verdict", metavar="V", help="applied, refused, or one refusal's code.")
@click.option("--since", type=Moment(past=True), metavar="TIME", help="From this moment on.")
@click.option("--until", type=Moment(past=True), metavar="TIME", help="Before this moment.")
@click.option("--follow", is_flag=True, help="Go on printing what is appended, until interrupted.")
@json_option
@pass_session
def log(session: Session, last: int | None, follow: bool, as_json: bool, **asked: Any) -> None:
    """Print the log. With --json, each line is one entry as it was hashed."""
    wanted = Wanted.of(**asked)
    with session.open() as vault:
        entries = selected(vault.entries(), wanted)
        shown = deque(entries, maxlen=last) if last is not None else entries
        if as_json:
            for raw, _ in shown:
                click.echo(raw.decode())
        else:
            table("", COLUMNS, (row_of(entry) for _, entry in shown))
        size = vault.state.log.size
        while follow:
            time.sleep(FOLLOW_SECONDS)
            for raw, entry in selected(vault.entries(size), wanted):
                click.echo(raw.decode() if as_json else "  ".join(str(cell) for cell in row_of(entry)))
            size = vault.state.log.size


def row_of(entry: AuditEntry) -> tuple[object, ...]:
    """An entry for people: number, time, principal, command, what it is about, verdict."""
    from rich.text import Text

    fields = as_fields(entry.command)
    about = [
        str(fields[key])
        for key in (
            "agent",
            "name",
            "selector",
            "grant",
            "access_request",
            "what",
            "environment",
            "rotator",
            "step",
            "reason",
        )
        if fields.get(key)
    ]
    who = f"{entry.principal.type} {entry.principal.id}"
    row = (str(entry.seq), when(entry.at), who, entry.command.type, " ".join(about), entry.verdict)
    loud = entry.command.type in LOUD and entry.verdict == APPLIED
    # Somebody who reads on a terminal should not pass over these.
    return tuple(Text(cell, style="bold red") for cell in row) if loud else row


@audit.command(
    "verify",
    epilog="Example: ironsecrets audit verify log.jsonl --key verifier.key --checkpoint checkpoint.txt",
)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--key", metavar="K", help="The verifier key, or the file it is in. For FILE.")
@click.option("--checkpoint", metavar="C", type=click.Path(path_type=Path), help="A checkpoint file.")
@click.option("--segments", metavar="DIR", type=click.Path(path_type=Path), help="Check archived entries there too.")
@json_option
@pass_session
def verify(
    session: Session,
    file: Path | None,
    key: str | None,
    checkpoint: Path | None,
    segments: Path | None,
    as_json: bool,
) -> None:
    """Replay the vault's log and check every record; or check an exported FILE, or a folder of segments, without vault
    or passphrase.

    For the vault, --checkpoint is one you kept: a vault that was put back to an older copy is then found.
    """
    if file is not None:
        if file.is_dir():
            if key is None:
                raise click.UsageError("a folder of segments is verified with --key")
            verify_folder(file, key, as_json)
            return
        if key is None or checkpoint is None:
            raise click.UsageError("an exported FILE is verified with --key and --checkpoint")
        _verify_export(file, key, checkpoint, as_json)
        return
    if key is not None:
        raise click.UsageError("--key goes with an exported FILE")
    with session.open(read_text(checkpoint) if checkpoint else None) as vault, progress("verifying") as bar:
        result = vault.verify(bar)
        shown = vault.check_segments(segments, bar) if segments else None
    match result:
        case Success(done):
            told = told_of(done.archived, shown, as_json)
            data = {
                "archived": done.archived,
                **told.data,
                "verified": True,
                "entries": done.entries,
                "records": done.records,
                "secrets": done.secrets,
                "root": done.root.hex(),
            }
            emit(
                as_json,
                data,
                lambda: click.echo(
                    f"verified: {done.entries - done.archived} entries replayed, {done.records} records opened"
                    f"{told.line}"
                ),
            )
        case Failure(divergence):
            diverged(divergence, as_json)
        case _:
            raise AssertionError


def _verify_export(file: Path, key: str, checkpoint: Path, as_json: bool) -> None:
    signed = parse_verifier_key(read_key(key)).bind(lambda parsed: verify_checkpoint(read_text(checkpoint), parsed))
    match signed:
        case Success(known):
            _replay_export(file, known, as_json)
        case Failure(refusal):
            raise IntegrityError(refusal.message)
        case _:
            raise AssertionError


def _replay_export(file: Path, known: Checkpoint, as_json: bool) -> None:
    with ExitStack() as stack:
        bar = stack.enter_context(progress("verifying"))
        result = verify_log(_lines(file, known.size, bar), known)
    match result:
        case Success(state):
            data = {
                "verified": True,
                "entries": state.log.size,
                "root": state.log.root().hex(),
                "origin": known.origin,
            }
            emit(
                as_json,
                data,
                lambda: click.echo(f"verified: {state.log.size} entries replayed, as signed by {known.origin}"),
            )
        case Failure(divergence):
            diverged(divergence, as_json)
        case _:
            raise AssertionError


def _lines(file: Path, size: int, bar: Progress | None) -> Iterator[bytes]:
    try:
        with file.open("rb") as stream:
            number = 0
            while line := stream.readline(LINE_LIMIT):
                yield line[:-1] if line.endswith(b"\n") else line + b"\0"
                number += 1
                if bar is not None and number % 1000 == 0:
                    bar(number, size)
    except OSError as error:
        raise unreadable(file, error) from None


@audit.command("export", epilog="Example: ironsecrets audit export evidence/")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@json_option
@pass_session
def export(session: Session, folder: Path, as_json: bool) -> None:
    """Write log.jsonl, checkpoint.txt and verifier.key, which verify without the vault."""
    with session.open() as vault, progress("exporting") as bar:
        target = vault.export(folder, bar)
        size = vault.state.log.size
    emit(
        as_json,
        {"folder": str(target), "entries": size},
        lambda: click.echo(f"exported {size} entries to {target}"),
    )


@audit.command("checkpoint", epilog="Example: ironsecrets audit checkpoint > last-checkpoint.txt")
@json_option
@pass_session
def checkpoint(session: Session, as_json: bool) -> None:
    """Print a signed checkpoint of the log. Keep it elsewhere: it finds a vault that was put back."""
    with session.open() as vault:
        note = vault.checkpoint()
        data = {"checkpoint": note, "verifier_key": vault.verifier_key()}
    emit(as_json, data, lambda: click.echo(note, nl=False))
