"""A value from a hidden prompt or from stdin, never from the argument list."""

import sys

import click

from interpreters.cli.base import Duration, QuietCommand
from interpreters.cli.output import warn
from ironsecrets.errors import Refused
from ironsecrets.sealing import VALUE_LIMIT, VALUE_TOO_LARGE
from ironsecrets.sensitive import Sensitive

strip_newline_option = click.option(
    "--strip-newline", is_flag=True, help="Leave out one newline at the end of a piped value."
)
expires_in_option = click.option(
    "--expires-in", type=Duration(), help="When the value itself ends at its provider, counted from now."
)


class ValueCommand(QuietCommand):
    """Never takes its value from the argument list, where every process could read it."""

    extra = "a value is never taken from the argument list; pipe it in, or run without arguments for a hidden prompt"


def given_value(name: str, strip_newline: bool) -> Sensitive:
    """What somebody types or pipes in."""
    if sys.stdin.isatty():
        return Sensitive(click.prompt(f"Value of {name}", hide_input=True, err=True, default="", show_default=False))
    raw = sys.stdin.buffer.read(VALUE_LIMIT + 2)
    if strip_newline:
        raw = raw.removesuffix(b"\n").removesuffix(b"\r")
    elif raw.endswith(b"\n") and raw.count(b"\n") == 1:
        warn("the value ends with a newline, which is kept; use --strip-newline or printf to leave it out")
    if len(raw) > VALUE_LIMIT:
        raise Refused(VALUE_TOO_LARGE, name)
    return Sensitive(raw)
