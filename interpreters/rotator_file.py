"""Rotators that are programs, from a TOML file of the host's own:

    [rotators.postgres]
    command = ["/usr/local/bin/rotate-postgres", "--role", "app"]
    timeout = "30s"       # the default
    output = "value"      # or "json"

A vault holds names of rotators only, so that whoever can write to a vault cannot make its host run a program.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from interpreters.command_rotator import CommandRotator
from interpreters.conversions import parse_span
from interpreters.rotators import Rotator
from interpreters.value_rotation import BUILT_IN
from ironsecrets.errors import StoreUnavailable, VaultError
from ironsecrets.identifiers import parse_rotator_name


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    command: Annotated[list[Annotated[str, msgspec.Meta(min_length=1)]], msgspec.Meta(min_length=1)]
    timeout: str = "30s"
    output: Literal["value", "json"] = "value"


class _File(msgspec.Struct, forbid_unknown_fields=True):
    rotators: dict[str, _Entry]


def load_rotators(path: str | Path) -> Mapping[str, Rotator]:
    """The rotators in a file. Raises :class:`ironsecrets.VaultError` if it is malformed or everybody may write it."""
    where = Path(path)
    try:
        with where.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & stat.S_IWOTH:
                raise VaultError(f"{where}: everybody may write to it; make it its owner's with chmod o-w")
            raw = file.read()
    except OSError as error:
        raise StoreUnavailable(f"{where} cannot be read: {error.strerror}") from None
    try:
        read = msgspec.toml.decode(raw, type=_File)
    except msgspec.MsgspecError as error:
        raise VaultError(f"{where}: {error}") from None
    except (UnicodeDecodeError, ValueError) as error:
        raise VaultError(f"{where} is not TOML ({type(error).__name__})") from None
    return {name: _rotator(where, name, entry) for name, entry in read.rotators.items()}


def _rotator(where: Path, name: str, entry: _Entry) -> Rotator:
    if name in BUILT_IN or parse_rotator_name(name).map(lambda _: False).value_or(True):
        raise VaultError(f"{where}: a rotator cannot have the name {name!r}")
    timeout = parse_span(entry.timeout)
    if timeout is None:
        raise VaultError(f"{where}: rotator {name}: write the timeout with a unit, such as 30s")
    return CommandRotator(command=entry.command, timeout=timeout, output=entry.output)
