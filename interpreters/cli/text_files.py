"""Small files that somebody names on the command line."""

from pathlib import Path

from ironsecrets.errors import StoreUnavailable, VaultNotFound


def read_text(path: Path, limit: int = 64 * 1024) -> str:
    """The text of a file, at most so many bytes of it."""
    try:
        with path.open("rb") as stream:
            return stream.read(limit).decode("utf-8", "replace")
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> VaultNotFound | StoreUnavailable:
    """Why a file that was named cannot be read."""
    if isinstance(error, FileNotFoundError):
        return VaultNotFound(f"there is no file {path}")
    return StoreUnavailable(f"{path} cannot be read: {error.strerror}")


def read_key(given: str) -> str:
    """A verifier key as it was given, or from the file of that name."""
    return read_text(Path(given)) if Path(given).is_file() else given
