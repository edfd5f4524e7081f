"""A world under control: time that is a value, randomness that repeats, vaults that open in no time."""

import hashlib
import itertools

import attrs

from interpreters.derivation import Credential, master_key_credential
from interpreters.doors import create_on, open_on
from interpreters.genesis import World
from interpreters.store import Store
from interpreters.vault import Vault

EPOCH = 1_750_000_000_000_000
"""When tests begin, in microseconds since the Unix epoch."""
SECOND = 1_000_000
# No two processes draw the same bytes; a seed of its own for each that a test does not name.
_seeds = itertools.count(1000)
MASTER_KEY = bytes(range(32))


@attrs.define
class SetClock:
    """A clock that stands until it is set."""

    time: int = EPOCH

    def now(self) -> int:
        return self.time


@attrs.define
class SeededEntropy:
    """Bytes that look random and repeat with the seed. For tests only."""

    seed: int = 0
    drawn: int = 0

    def draw(self, count: int) -> bytes:
        out = b""
        while len(out) < count:
            out += hashlib.sha256(f"{self.seed}/{self.drawn}".encode()).digest()
            self.drawn += 1
        return out[:count]


def credential() -> Credential:
    """A raw master key, so that no test waits for Argon2id."""
    return master_key_credential(MASTER_KEY)


def world(seed: int = 0) -> World:
    """A world of its own."""
    return World(clock=SetClock(), entropy=SeededEntropy(seed))


def new_vault(store: Store, where: World | None = None) -> Vault:
    """A vault on an empty store."""
    return create_on(store, credential(), world=where or world())


def opened_again(store: Store, where: World | None = None) -> Vault:
    """The same vault, as another process would open it."""
    return open_on(store, credential(), world=where or world(next(_seeds)))
