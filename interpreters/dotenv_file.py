"""Reading a ``.env`` file: python-dotenv's parser, strictly."""

from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import attrs
from dotenv.parser import parse_stream

from ironsecrets.errors import StoreUnavailable, VaultError

FILE_LIMIT = 16 * 1024 * 1024


@attrs.frozen(kw_only=True)
class Variable:
    """One assignment. Its value does not show itself."""

    key: str
    value: str = attrs.field(repr=False)
    line: int


@attrs.frozen(kw_only=True)
class EnvFile:
    """The assignments that hold, in the order of the file, and lines of warning for people."""

    variables: Sequence[Variable]
    warnings: Sequence[str]


def read_env_file(path: Path, undone: str = "nothing was imported") -> EnvFile:
    """Read comments, quotes, ``export``, values over several lines, CRLF; of duplicates the last one wins.

    Nothing is interpolated. A line that is no assignment refuses the whole file, by its number; ``undone`` says what
    then did not happen.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(FILE_LIMIT + 1)
        if len(raw) > FILE_LIMIT:
            raise VaultError(f"{path} is larger than {FILE_LIMIT // 2**20} MiB; {undone}")
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise VaultError(f"{path} is not UTF-8 text; {undone}") from None
    found: dict[str, Variable] = {}
    warnings: list[str] = []
    for binding in parse_stream(StringIO(text, newline="")):
        line = binding.original.line + _leading_lines(binding.original.string)
        if binding.error:
            raise VaultError(f"{path}, line {line}: not of the form KEY=VALUE; {undone}")
        if binding.key is None:
            continue
        if binding.value is None:
            # Not by its name: it may be a line of an unquoted key.
            warnings.append(f"line {line}: a name without a value is left out")
            continue
        if binding.key in found:
            warnings.append(f"line {line}: {binding.key} stands twice; the last one wins")
            del found[binding.key]
        found[binding.key] = Variable(key=binding.key, value=binding.value, line=line)
    return EnvFile(variables=tuple(found.values()), warnings=warnings)


def _leading_lines(text: str) -> int:
    return text[: len(text) - len(text.lstrip())].count("\n")
