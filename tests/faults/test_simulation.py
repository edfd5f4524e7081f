"""Deterministic simulation: several processes, one store, clocks that disagree, sinks and commits that fail, all of it
chosen by one seed. What a seed finds it finds again: ``IRONSECRETS_SEED=n pytest tests/faults/test_simulation.py``.
"""

import os
import random
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import pytest
from returns.result import Success

import ironsecrets
from interpreters.doors import create_on, open_on
from interpreters.genesis import World
from interpreters.memory_store import MemoryStore
from interpreters.proof import leaves_of
from interpreters.store import Batch
from interpreters.vault import Vault
from ironsecrets.audit import decode_entry
from ironsecrets.errors import StoreUnavailable
from ironsecrets.merkle import Frontier, leaf_hash
from properties.worlds import SECOND, SeededEntropy, SetClock, credential
from tests.faults.depth import DEEP
from tests.faults.histories import History

SEED = os.environ.get("IRONSECRETS_SEED")


class FlakySink:
    """A sink that fails now and then, before or half-way."""

    def __init__(self, chance: random.Random) -> None:
        self.chance, self.taken = chance, list[bytes]()

    def position(self) -> int:
        return len(self.taken)

    def deliver(self, start: int, entries: Sequence[bytes]) -> None:
        assert start == len(self.taken)
        if self.chance.random() < 0.3:
            raise OSError("the sink is away")
        some = self.chance.randint(0, len(entries)) if self.chance.random() < 0.2 else len(entries)
        self.taken += entries[:some]
        if some < len(entries):
            raise OSError("the sink broke off")


@attrs.define(eq=False)
class Shared:
    """A process's way to the one store. Others get in between, and commits fail before they happen or after."""

    store: MemoryStore
    simulation: "Simulation"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def find(self, tag: bytes) -> int | None:
        self.simulation.trouble("find")
        return self.store.find(tag)

    def commit(self, batch: Batch) -> bool:
        self.simulation.interleave()
        self.simulation.trouble("before")
        done = self.store.commit(batch)
        self.simulation.trouble("after")
        return done

    def close(self) -> None:
        """The store outlives its processes."""


@attrs.define(eq=False)
class Simulation:
    """The whole world of one seed."""

    seed: int
    chance: random.Random = attrs.field(init=False)
    store: MemoryStore = attrs.field(factory=MemoryStore)
    clocks: list[SetClock] = attrs.field(init=False)
    sinks: list[FlakySink] = attrs.field(init=False)
    vaults: list[Vault] = attrs.field(factory=list[Vault])
    depth: int = 0
    busy: list[Vault] = attrs.field(factory=list[Vault])
    calm: bool = True
    acknowledged: dict[int, bytes] = attrs.field(factory=dict[int, bytes])
    crashes: int = 0
    failures: int = 0

    def __attrs_post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.clocks = [SetClock() for _ in range(3)]
        self.sinks = [FlakySink(self.chance) for _ in range(3)]
        create_on(self.store, credential(), world=self.world(0)).close()
        self.vaults = [self.opened(number) for number in range(3)]

    def world(self, number: int) -> World:
        return World(
            clock=self.clocks[number], entropy=SeededEntropy(self.seed * 1_000_003 + self.chance.getrandbits(40))
        )

    def opened(self, number: int) -> Vault:
        shared: Any = Shared(self.store, self)
        return open_on(shared, credential(), world=self.world(number), sinks=[self.sinks[number]])

    def trouble(self, where: str) -> None:
        if not self.calm and self.chance.random() < {"before": 0.04, "after": 0.06, "find": 0.2}[where]:
            self.failures += 1
            raise StoreUnavailable(f"simulated, {where}")

    def interleave(self) -> None:
        if not self.calm and self.depth < 2 and self.chance.random() < 0.15:
            self.depth += 1
            self.act(self.chance.randrange(3), nested=True)
            self.depth -= 1

    def act(self, number: int, *, nested: bool = False) -> None:
        vault = self.vaults[number]
        if vault in self.busy:
            return
        self.clocks[number].time += self.chance.choice((0, 1, SECOND, -SECOND, 600 * SECOND))
        self.busy.append(vault)
        try:
            # No process knows of the sinks of another, so nothing is archived here. A rotation of values waits for the
            # one that another process is at, which here would be for ever.
            history = History(vault, self.chance, lambda size: None, rekeys=False, rotates=not nested, archives=False)
            history.step()
            size = vault._engine.state.log.size
            self.acknowledged[size] = vault._engine.state.log.root()
        except StoreUnavailable:
            pass
        except ironsecrets.VaultClosed:
            self.vaults[number] = self.opened(number)
        finally:
            self.busy.remove(vault)

    def step(self) -> None:
        number = self.chance.randrange(3)
        if self.chance.random() < 0.04:
            # The process dies and another takes its place; what it held in memory is gone.
            self.crashes += 1
            self.vaults[number] = self.opened(number)
        self.calm = False
        self.act(number)
        self.calm = True

    def check(self) -> None:
        first = self.vaults[0]
        log = list(first.entries())
        requests = [decode_entry(raw).unwrap().request for raw in log]
        assert len(requests) == len(set(requests)), "a command was recorded twice"
        frontier, roots = Frontier(), [Frontier().root()]
        for leaf in leaves_of(first._engine, first.state.log.size):
            frontier = frontier.append(leaf)
            roots.append(frontier.root())
        for size, root in self.acknowledged.items():
            assert roots[size] == root, f"what was acknowledged at {size} entries is gone"
        for number, vault in enumerate(self.vaults):
            assert isinstance(vault.verify(), Success)
            assert vault.state == self.vaults[0].state
            sink = self.sinks[number]
            for _ in range(200):
                vault._engine.sinks.pump(first.state.log.size, vault._engine.plain_entries)
                if len(sink.taken) == first.state.log.size:
                    break
            assert sink.taken[first.state.archived :] == log, "a sink missed or doubled an entry"
            assert [leaf_hash(raw) for raw in sink.taken] == leaves_of(first._engine, first.state.log.size)


def simulated(seed: int, steps: int) -> Simulation:
    simulation = Simulation(seed)
    try:
        for _ in range(steps):
            simulation.step()
        simulation.check()
    except BaseException as error:
        error.add_note(f"seed {seed}: IRONSECRETS_SEED={seed} pytest -n0 tests/faults/test_simulation.py")
        raise
    return simulation


@pytest.mark.parametrize("seed", [int(SEED)] if SEED else range(200 if DEEP else 12))
def test_a_simulated_cluster(seed: int, record_property: Callable[[str, object], None]) -> None:
    simulation = simulated(seed, 120)
    record_property("faults", ("simulated clusters: failing commits and look-ups", simulation.failures, 0))
    record_property("faults", ("simulated clusters: crashes of a process", simulation.crashes, 0))


def test_a_seed_is_a_whole_history() -> None:
    first, again = simulated(4, 60), simulated(4, 60)
    assert list(first.vaults[0].entries()) == list(again.vaults[0].entries())
    assert list(simulated(5, 60).vaults[0].entries()) != list(first.vaults[0].entries())
