"""References to secrets in an env file: ``ironsecrets://production/openai/api-key``.

A value that is a reference becomes the secret's value. Inside other text, braces say where a reference ends:
``postgresql://app:{{ ironsecrets://production/db/password }}@db/app``. Every other value stays as it is.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
from returns.result import Success

from interpreters.dotenv_file import Variable, read_env_file
from interpreters.kept_file import BadVariable
from ironsecrets.errors import VaultError
from ironsecrets.identifiers import parse_environment, parse_secret_name

SCHEME = "ironsecrets://"
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EMBEDDED = re.compile(r"\{\{\s*(ironsecrets://[^\s{}]*)\s*\}\}")


@attrs.frozen
class Reference:
    """A secret by environment and name."""

    environment: str
    name: str


Parts = Sequence[bytes | Reference]
"""What a variable is put together of, in order."""


def parse_reference(text: str) -> Reference | None:
    """The reference, or None where ``text`` is none."""
    environment, slash, name = text.removeprefix(SCHEME).partition("/")
    well_formed = isinstance(parse_environment(environment), Success) and isinstance(parse_secret_name(name), Success)
    return Reference(environment, name) if text.startswith(SCHEME) and slash and well_formed else None


def parts_of(text: str) -> Parts | None:
    """The parts of a template's value, or None where something in it only looks like a reference."""
    whole = parse_reference(text)
    if whole is not None:
        return (whole,)
    parts: list[bytes | Reference] = []
    place = 0
    for found in _EMBEDDED.finditer(text):
        reference = parse_reference(found[1])
        if reference is None:
            return None
        parts += [text[place : found.start()].encode(), reference]
        place = found.end()
    rest = text[place:]
    around = b"".join(part for part in parts if isinstance(part, bytes))
    if SCHEME in rest or SCHEME.encode() in around:
        return None
    return tuple(part for part in (*parts, rest.encode()) if part != b"")


def read_template(path: Path) -> tuple[Mapping[str, Parts], Sequence[str]]:
    """Variable to parts, and lines of warning. Raises :class:`ironsecrets.VaultError` with the number of a bad line."""
    read = read_env_file(path, undone="nothing was run")
    return {variable.key: _parts(path, variable) for variable in read.variables}, read.warnings


def _parts(path: Path, variable: Variable) -> Parts:
    parts = parts_of(variable.value)
    if parts is None:
        raise VaultError(
            f"{path}, line {variable.line}: write a reference as ironsecrets://ENVIRONMENT/NAME, in {{{{ }}}} where"
            " other text stands beside it; nothing was run"
        )
    if VARIABLE.fullmatch(variable.key) is None:
        raise BadVariable(f"{path}, line {variable.line}: that is no name of an environment variable")
    return parts
