"""Threads of our own."""

import signal
import threading
from collections.abc import Callable


def quiet_thread(target: Callable[[], None], name: str) -> threading.Thread:
    """A daemon thread that leaves every signal to the main thread, started."""

    def run() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        target()

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread
