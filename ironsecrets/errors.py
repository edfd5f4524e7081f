"""What the outer door raises. Messages are one line, say what to do next, and never hold a value."""

from typing import Literal

from ironsecrets.refusals import Refusal

Fate = Literal["aborted", "aborting", "kept"]


class VaultError(Exception):
    """The base of everything this package raises."""


class Refused(VaultError):
    """A decision went against the caller. ``refusal.code`` is stable."""

    def __init__(self, refusal: Refusal, about: str = "") -> None:
        super().__init__(f"{about}: {refusal.message}" if about else refusal.message)
        self.refusal = refusal


class VaultNotFound(VaultError):
    """There is no vault at that place."""


class VaultExists(VaultError):
    """There is something at that place already."""


class CannotUnlock(VaultError):
    """No slot opens with what was given: a wrong passphrase or master key."""


class NotAVault(VaultError):
    """The file is something else than a vault."""


class NewerFormat(VaultError):
    """The vault was written by a newer version of the format."""


class IntegrityError(VaultError):
    """The store holds something that was changed, cut, added or put back. ``what`` names it."""

    def __init__(self, what: str) -> None:
        super().__init__(f"integrity failure: {what}")
        self.what = what


class VaultBusy(VaultError):
    """Others kept the store busy for longer than the time limit; trying again is safe."""


class StoreUnavailable(VaultError):
    """The store cannot be read or written now; what was acknowledged is safe."""


class StoreFull(StoreUnavailable):
    """There is no space left. Revoking and suspending still work."""


class RotationFailed(VaultError):
    """A rotator did not do its step: ``reason`` is ``failed``, ``timed-out`` or ``bad-output``. Nothing is lost.

    ``fate`` is what became of the rotation: ``aborted``, ``aborting`` (putting things back is tried again) or
    ``kept`` (it is tried again).
    """

    def __init__(self, about: str, step: str, reason: str, detail: str, *, fate: Fate) -> None:
        then = {
            "aborted": "it was aborted and the current value stays",
            "aborting": "putting things back is tried again; the current value stays",
            "kept": "it is kept and tried again; `rotation abort` gives it up",
        }[fate]
        said = {"failed": "failed", "timed-out": "took too long", "bad-output": "gave no usable value"}[reason]
        super().__init__(f"{about}: the rotator {said} at step {step}{f' ({detail})' if detail else ''}; {then}")
        self.step, self.reason, self.fate = step, reason, fate


class VaultClosed(VaultError):
    """The handle was closed, or came into this process by a fork; open the vault again."""
