"""The file of ``run --env-file``: variables for a child that reads them again after a rotation.

Mode 0600, replaced whole, removed at the end. In the syntax of python-dotenv, with which it reads back as it was
where nothing is interpolated; a shell reads what has neither quotes, backslashes nor line ends in the same way.
"""

import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from interpreters.files import write_private
from ironsecrets.errors import StoreUnavailable, VaultError

MARK = b"# written by `ironsecrets run`, which removes it when the command ends\n"
_ESCAPES = {b"\\": rb"\\", b'"': rb"\"", b"\r": rb"\r", b"\n": rb"\n"}


class BadVariable(VaultError):
    """A secret cannot become the environment variable that was asked for."""


def assignment(variable: str, value: bytes) -> bytes:
    """One line. Refused (:class:`BadVariable`) where the value holds a NUL byte or is not UTF-8."""
    try:
        value.decode()
    except UnicodeDecodeError:
        raise BadVariable(f"the value of {variable} is not UTF-8 text and cannot stand in an env file") from None
    if b"\0" in value:
        raise BadVariable(f"the value of {variable} holds a NUL byte and cannot stand in an env file")
    if re.search(rb"['\\\r\n]", value) is None:
        return b"%s='%s'\n" % (variable.encode(), value)
    escaped = re.sub(rb'[\\"\r\n]', lambda found: _ESCAPES[found[0]], value)
    return b'%s="%s"\n' % (variable.encode(), escaped)


class KeptFile:
    """A file that is ours for as long as the ``with`` lasts. What somebody else has written is never replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, variables: Mapping[str, bytes]) -> None:
        """Replace the content. Raises :class:`BadVariable`, :class:`ironsecrets.StoreUnavailable`."""
        lines = [assignment(variable, value) for variable, value in variables.items()]
        if not self._ours():
            raise StoreUnavailable(f"{self._path} is not a file of `ironsecrets run`; it was left as it is")
        write_private(self._path, [MARK, *lines])

    def _ours(self) -> bool:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        try:
            return stat.S_ISREG(os.fstat(descriptor).st_mode) and os.read(descriptor, len(MARK)) == MARK
        finally:
            os.close(descriptor)

    def __enter__(self) -> "KeptFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ours():
            with suppress(OSError):
                os.unlink(self._path)
