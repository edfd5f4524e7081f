"""Proofs for auditors: made with the vault, checked without it, and a witness who remembers."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from returns.result import Failure, Success

from interpreters.cli.audit_commands import COLUMNS, audit, row_of
from interpreters.cli.base import Duration, Moment, Session, json_option, pass_session
from interpreters.cli.output import emit, progress, table
from interpreters.cli.text_files import read_key, read_text
from interpreters.files import write_private
from interpreters.witness import FileWitness
from ironsecrets.checkpoint import parse_verifier_key, verify_checkpoint
from ironsecrets.encoding import as_fields
from ironsecrets.errors import IntegrityError
from ironsecrets.proof_files import Included, check_proof

out_option = click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="Write the proof to a file.")


@audit.command("prove", epilog="Example: ironsecrets audit prove 42 --out entry.tlog-proof")
@click.argument("seq", type=click.IntRange(0))
@out_option
@pass_session
def prove(session: Session, seq: int, out: Path | None) -> None:
    """Print a proof that entry SEQ is in the log, with the entry: a C2SP tlog-proof. Checked by `audit check`."""
    with session.open() as vault:
        _given(vault.prove(seq), out)


@audit.command("consistency", epilog="Example: ironsecrets audit consistency kept-checkpoint.txt --out since.proof")
@click.argument("old")
@click.argument("new", required=False)
@out_option
@pass_session
def consistency(session: Session, old: str, new: str | None, out: Path | None) -> None:
    """Print a proof that the log at NEW (default: now) continues the log at OLD: numbers of entries, or checkpoint
    files. Checked by `audit check`."""
    with session.open() as vault:
        key = vault.verifier_key()
        older = _size(old, key)
        newer = vault.state.log.size if new is None else _size(new, key)
        _given(vault.consistency(older, newer), out)


def _size(given: str, key: str) -> int:
    if given.isascii() and given.isdigit() and len(given) < 17:
        return int(given)
    match parse_verifier_key(key).bind(lambda parsed: verify_checkpoint(read_text(Path(given)), parsed)):
        case Success(checkpoint):
            return checkpoint.size
        case Failure(refusal):
            raise IntegrityError(f"{given}: {refusal.message}")
        case _:
            raise AssertionError


def _given(text: str, out: Path | None) -> None:
    if out is None:
        click.echo(text, nl=False)
    else:
        write_private(out, [text.encode()])


@audit.command("check", epilog="Example: ironsecrets audit check entry.tlog-proof --key verifier.key")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--key", required=True, metavar="K", help="The verifier key, or the file it is in.")
@click.option("--checkpoint", metavar="C", type=click.Path(path_type=Path), help="The proof must begin at this one.")
@json_option
def check(file: Path, key: str, checkpoint: Path | None, as_json: bool) -> None:
    """Check a proof of `audit prove` or `audit consistency`, without vault or passphrase."""
    parsed = parse_verifier_key(read_key(key))
    match parsed.bind(lambda known: check_proof(read_text(file, 256 * 1024 + 1), known)):
        case Success(shown):
            pass
        case Failure(refusal):
            raise IntegrityError(refusal.message)
        case _:
            raise AssertionError
    if isinstance(shown, Included):
        entry, size = shown.entry, shown.checkpoint.size
        data = {"verified": True, "index": entry.seq, "size": size, "entry": as_fields(entry)}

        def people() -> None:
            click.echo(f"verified: entry {entry.seq} is in the log of {size} entries, as signed")
            table("", COLUMNS, [row_of(entry)])

        emit(as_json, data, people)
        return
    older, newer = shown.older, shown.newer
    if checkpoint is not None:
        kept = parsed.bind(lambda known: verify_checkpoint(read_text(checkpoint), known)).value_or(None)
        if kept != older:
            raise IntegrityError("the proof does not begin at the checkpoint that you kept")
    data = {"verified": True, "old": older.size, "new": newer.size, "root": newer.root.hex()}
    said = f"verified: the log of {newer.size} entries has the first {older.size} unchanged, as signed"
    emit(as_json, data, lambda: click.echo(said))


@audit.command("witness", epilog="Example: ironsecrets audit witness /mnt/elsewhere/team.witness")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@pass_session
def witness(session: Session, file: Path, as_json: bool) -> None:
    """Show the log to a witness: FILE remembers the last checkpoint it has seen, and a vault that went back to an older
    copy, or forked, is refused. Keep FILE where whoever writes the vault cannot. With IRONSECRETS_WITNESS set to FILE
    every command does this."""
    remembered = FileWitness(file)
    with session.open() as vault:
        before = remembered.last()
        vault.shown_to(remembered)
        size = vault.state.log.size
    old = None if before is None else before[1].size
    said = "for the first time" if old is None else f"{old} entries at the last look, and unchanged"
    emit(as_json, {"entries": size, "last": old}, lambda: click.echo(f"seen: {size} entries, {said}"))


@audit.command("archive", epilog="Example: ironsecrets audit archive --before 2026-01-01T00:00Z /mnt/archive/team")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--before", type=Moment(), metavar="TIME", help="Entries from before this moment.")
@click.option("--older-than", type=Duration(), metavar="SPAN", help="Entries older than this, such as 365d.")
@json_option
@pass_session
def archive(
    session: Session, folder: Path, before: datetime | None, older_than: timedelta | None, as_json: bool
) -> None:
    """Move old entries out of the vault, into a signed segment file in DIR (JSONL, Zstandard).

    What they did stays, and proofs and checkpoints hold as before. `audit verify --segments DIR` goes over both. Keep
    DIR as you keep an export; a segment that you delete is gone, and verification says what it can no longer show.
    """
    if (before is None) == (older_than is None):
        raise click.UsageError("say --before TIME or --older-than SPAN")
    with session.open() as vault, progress("archiving") as bar:
        moment = before or datetime.fromtimestamp(vault.now() / 1_000_000, UTC) - (older_than or timedelta())
        done = vault.archive(session.name, before=moment, folder=folder, progress=bar)
    data = {"start": done.start, "stop": done.stop, "path": str(done.path)}
    said = f"archived entries {done.start} to {done.stop - 1} to {done.path}"
    emit(as_json, data, lambda: click.echo(said))
