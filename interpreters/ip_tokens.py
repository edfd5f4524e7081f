"""The session key of IP tokens, in the hands of a host."""

import os
from collections.abc import Mapping
from types import TracebackType

from interpreters.conversions import accepted
from interpreters.world import Entropy, SystemEntropy
from ironsecrets.ip_tokens import open_ip_token, parse_ip_token_key, seal_ip_token
from ironsecrets.sealing import NONCE_BYTES
from ironsecrets.sensitive import Sensitive

VARIABLE = "IP_TOKEN_KEY"


class IPTokenKey:
    """A session key that control panel and runtime share: turns values into IP tokens and back.

    ``key`` is 64 hex characters, not all zeros (else :class:`Refused`, ``bad-ip-token-key``). It is kept in memory
    only; leaving the ``with`` wipes it. One key encrypts at most 2**32 tokens.
    """

    def __init__(self, key: str, *, entropy: Entropy | None = None) -> None:
        self._key = accepted(parse_ip_token_key(key), VARIABLE)
        self._entropy = SystemEntropy() if entropy is None else entropy
        self._wiped = False

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> "IPTokenKey":
        """The key in ``IP_TOKEN_KEY``. The variable stays set: what a process was started with is the host's."""
        return cls((os.environ if environ is None else environ).get(VARIABLE, ""))

    def encrypt(self, value: str | bytes | Sensitive) -> str:
        """``value`` (text as UTF-8, at most 1 MiB) as an IP token. Refused: ``value-too-large``."""
        with Sensitive(value.view() if isinstance(value, Sensitive) else value) as held:
            return accepted(seal_ip_token(self._live(), self._entropy.draw(NONCE_BYTES), held), "IP token")

    def decrypt(self, token: str) -> Sensitive:
        """The value in ``token``; ``with`` wipes it. Refused: ``bad-ip-token``."""
        return accepted(open_ip_token(self._live(), token), "IP token")

    def wipe(self) -> None:
        """Overwrite the key. What comes after raises ``ValueError``."""
        self._wiped = True
        self._key.wipe()

    def _live(self) -> Sensitive:
        # A wiped key is all zeros, under which anybody could read.
        if self._wiped:
            raise ValueError("this IP token key was wiped")
        return self._key

    def __enter__(self) -> "IPTokenKey":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wipe()

    def __repr__(self) -> str:
        return "<IPTokenKey>"
