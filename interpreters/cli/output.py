"""What the command line prints: tables for people, JSON for programs, colour only on a terminal."""

import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any

import click
import msgspec

from interpreters.conversions import moment
from ironsecrets.rates import RATE_BURST, Rate

Progress = Callable[[int, int], None]


def emit(as_json: bool, data: Any, people: Callable[[], None]) -> None:
    """Print ``data`` as one JSON document, or what ``people`` prints."""
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(data), indent=2))
    else:
        people()


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table as wide as the terminal; never cut short when it goes to a file."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title or None, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text("" if cell is None else str(cell)) for cell in row))
    width = None if sys.stdout.isatty() else 1000
    Console(width=width, soft_wrap=False).print(made)


def stamp(micros: int | None) -> str | None:
    """A time for programs: ISO 8601, UTC, with microseconds."""
    return None if micros is None else moment(micros).isoformat()


def span(micros: int) -> str:
    """A length of time for people, in its largest whole unit."""
    seconds, rest = divmod(micros, 1_000_000)
    if rest:
        return f"{micros / 1_000_000:g}s"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds % size == 0 and seconds:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def rate_text(rate: Rate) -> str:
    """A rate as people write it."""
    burst = "" if rate.burst == min(rate.count, RATE_BURST) else f" burst {rate.burst}"
    return f"{rate.count}/{span(rate.per)}{burst}"


def warn(line: str) -> None:
    """One line of warning on stderr."""
    click.secho(f"warning: {line}", fg="yellow", err=True)


def say_if_lingering(final: bool, what: str) -> None:
    """A warning where what was erased is not quite gone yet."""
    if not final:
        warn(
            f"{what} in the store's own log or free pages yet: a file is rid of it once others who read have finished,"
            " PostgreSQL once it has vacuumed"
        )


@contextmanager
def progress(label: str) -> Generator[Progress | None]:
    """A progress bar on stderr, on a terminal only."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def size_text(size: int) -> str:
    """A number of bytes for people."""
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"
