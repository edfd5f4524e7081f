"""Files for their owner only, replaced whole or not at all."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ironsecrets.errors import StoreUnavailable


def write_private(path: Path, parts: Iterable[bytes]) -> None:
    """Write ``path`` with mode 0600, atomically: a reader sees the old content or the new."""
    making = path.with_name(f".{path.name}.{os.urandom(6).hex()}.new")
    try:
        descriptor = os.open(making, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(making, path)
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be written: {error.strerror or 'input/output error'}") from error
    finally:
        with suppress(OSError):
            os.unlink(making)


def make_folder(path: Path) -> None:
    """Make a folder for its owner only, with what is above it."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"the folder {path} cannot be made: {error.strerror}") from error
