"""One at a time: the right to drive rotations of a vault's values, held by whoever locked a file beside it.

The lock ends with the process that holds it, however that ends. The file stays: removing it would let two lead.
"""

import fcntl
import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random

from interpreters.store import Store
from ironsecrets.errors import StoreUnavailable, VaultBusy


@contextmanager
def file_lock(path: Path) -> Generator[bool]:
    """Hold the lock of ``path`` (made with mode 0600), or give False at once where somebody else does."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be opened: {error.strerror or 'input/output error'}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = True
        except BlockingIOError:
            held = False
        yield held
    finally:
        os.close(descriptor)


@contextmanager
def leading(store: Store, patience: float) -> Generator[None]:
    """Lead, after waiting at most ``patience`` seconds for who else does; else :class:`VaultBusy`."""
    with ExitStack() as stack:
        waiting = Retrying(
            retry=retry_if_exception_type(VaultBusy),
            stop=stop_after_delay(patience),
            wait=wait_random(0.02, 0.2),
            reraise=True,
        )
        for attempt in waiting:
            with attempt:
                if not stack.enter_context(store.lead()):
                    raise VaultBusy("another process is rotating values of this vault; try again")
        yield
