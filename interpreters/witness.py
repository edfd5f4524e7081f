"""A witness: remembers, outside the vault, the last checkpoint it has seen, and refuses a log that went back or forked.

Putting a whole vault file back to an older copy leaves nothing in the file that could tell. Somebody elsewhere has to
remember; a file on another disk is the smallest somebody.
"""

import fcntl
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from returns.result import Failure, Success

from interpreters.files import write_private
from ironsecrets.checkpoint import Checkpoint, VerifierKey, parse_verifier_key, verify_checkpoint
from ironsecrets.errors import IntegrityError, StoreUnavailable
from ironsecrets.merkle import verify_consistency

Prove = Callable[[int, int], tuple[bytes, ...]]
"""The consistency proof (RFC 9162 section 2.1.4) between two sizes of the log."""


class Witness(Protocol):
    """Somebody who remembers. Raises :class:`ironsecrets.IntegrityError` for a log that is no continuation."""

    def saw(self, key: str, note: str, prove: Prove) -> None:
        """Look at a signed checkpoint, which ``key`` (``name+hash+key``) verifies; remember it where it continues the
        last one, as ``prove`` must show."""
        ...


class FileWitness:
    """Remembers in a file: the verifier key on the first line, then the checkpoint as it was signed."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def last(self) -> tuple[VerifierKey, Checkpoint, str] | None:
        """What it remembers, and the signed note; None before the first time."""
        try:
            text = self._path.read_bytes()[: 64 * 1024].decode("utf-8", "replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreUnavailable(f"the witness {self._path} cannot be read: {error.strerror}") from None
        line, _, note = text.partition("\n")
        read = parse_verifier_key(line).bind(
            lambda key: verify_checkpoint(note, key).map(lambda seen: (key, seen, note))
        )
        match read:
            case Success(found):
                return found
            case _:
                raise IntegrityError(f"the witness {self._path} holds no checkpoint of ours: it was changed")

    def saw(self, key: str, note: str, prove: Prove) -> None:
        with _alone(self._path):
            self._saw(key, note, prove)

    def _saw(self, key: str, note: str, prove: Prove) -> None:
        match parse_verifier_key(key).bind(lambda parsed: verify_checkpoint(note, parsed)):
            case Success(new):
                pass
            case Failure(refusal):
                raise IntegrityError(f"the witness was shown no valid checkpoint: {refusal.message}")
            case _:
                raise AssertionError
        last = self.last()
        if last is not None:
            known, old, _ = last
            if known.text() != key.strip():
                raise IntegrityError("the witness remembers another vault than this one")
            if new.size < old.size:
                raise IntegrityError(
                    f"the log has {new.size} entries, the witness has seen {old.size}:"
                    " the vault was put back to an older copy"
                )
            shown = verify_consistency(
                old_size=old.size,
                new_size=new.size,
                old_root=old.root,
                new_root=new.root,
                proof=() if new.size == old.size else prove(old.size, new.size),
            )
            if isinstance(shown, Failure):
                raise IntegrityError("the log is not the one that the witness has seen: it forked")
            if new == old:
                return
        write_private(self._path, [f"{key.strip()}\n{note}".encode()])


@contextmanager
def _alone(path: Path) -> Generator[None]:
    lock = path.with_name(f".{path.name}.lock")
    try:
        descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StoreUnavailable(f"the witness {path} cannot be locked: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
