"""What verification says of archived entries."""

from pathlib import Path
from typing import Any, NoReturn

import attrs
import click
import msgspec
from returns.result import Failure, Result, Success

from interpreters.archiving import Shown, verify_segments
from interpreters.cli.output import emit, progress
from interpreters.cli.text_files import read_key
from ironsecrets.checkpoint import parse_verifier_key
from ironsecrets.encoding import as_fields
from ironsecrets.errors import IntegrityError
from ironsecrets.replaying import Divergence


def diverged(divergence: Divergence, as_json: bool) -> NoReturn:
    """Say where and how the log diverges, and end with the status of an integrity failure."""
    if as_json:
        data: dict[str, Any] = {"verified": False, "divergence": as_fields(divergence)}
        click.echo(msgspec.json.format(msgspec.json.encode(data), indent=2))
    raise IntegrityError(divergence.line())


@attrs.frozen
class Told:
    """For people, to go on in the same sentence, and for programs."""

    line: str
    data: dict[str, Any]


def told_of(archived: int, shown: Result[Shown, Divergence] | None, as_json: bool) -> Told:
    """What is shown of so many archived entries, and what cannot be shown any more."""
    match shown:
        case None:
            said = f"; the first {archived} are archived: what they did is taken from the sealed state after them"
            return Told(f"{said} (--segments DIR replays them)" if archived else "", {})
        case Failure(divergence):
            return diverged(divergence, as_json)
        case Success(found):
            line = f"; of {archived} archived ones {found.replayed} replayed"
            if found.hashed:
                line += f", {found.hashed} held against the log by their hashes only, since older ones are missing"
            gaps = ", ".join(f"{start} to {stop - 1}" for start, stop in found.missing)
            if gaps:
                line += (
                    f"; entries {gaps} are in no file: who did what there, and whether policy allowed it, cannot be"
                    " shown any more"
                )
            data = {"replayed": found.replayed, "hashed": found.hashed, "missing": [list(gap) for gap in found.missing]}
            return Told(line, {"segments": data})
        case _:
            raise AssertionError


def verify_folder(folder: Path, key: str, as_json: bool) -> None:
    """Verify a folder of segments without the vault."""
    match parse_verifier_key(read_key(key)):
        case Success(parsed):
            pass
        case Failure(refusal):
            raise IntegrityError(refusal.message)
        case _:
            raise AssertionError
    with progress("verifying") as bar:
        result = verify_segments(folder, parsed, bar)
    match result:
        case Success(last):
            data = {"verified": True, "entries": last.size, "root": last.root.hex(), "origin": last.origin}
            said = f"verified: {last.size} entries replayed from segments, as signed by {last.origin}"
            emit(as_json, data, lambda: click.echo(said))
        case Failure(divergence):
            diverged(divergence, as_json)
        case _:
            raise AssertionError
