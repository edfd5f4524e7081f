"""An opened vault: handles for principals, ``execute`` for functional callers, and what auditors take with them."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from returns.pipeline import is_successful
from returns.result import Result

from interpreters import proof
from interpreters.agent_handle import AgentHandle
from interpreters.archiving import Archiving, Shown, archive, archived_entries, check_segments
from interpreters.conversions import accepted, micros_of
from interpreters.derivation import Credential
from interpreters.engine import Engine
from interpreters.files import make_folder, write_private
from interpreters.genesis import unlock_root
from interpreters.ic_tokens import Authoriser
from interpreters.moving import Moved, migrate
from interpreters.operator_handle import OperatorHandle, operator_handle
from interpreters.outcome import Ask, Outcome, Verification
from interpreters.places import Place, parse_place
from interpreters.rotators import Rotator
from interpreters.scheduler import INTERVAL, MOST, Pass, Scheduler
from interpreters.sinks import SinkStatus
from interpreters.subscriptions import Subscription
from interpreters.unsealed import agreed
from interpreters.upkeep import Backup, Compaction, backup, compact
from interpreters.viewer_handle import ViewerHandle, viewer_handle
from interpreters.witness import Witness
from ironsecrets.agents import authenticate
from ironsecrets.errors import VaultError
from ironsecrets.events import Event
from ironsecrets.grants import Grant, decide
from ironsecrets.header import Header
from ironsecrets.identifiers import LeaseId, RequestId, parse_agent_id, parse_environment, parse_person_name
from ironsecrets.principals import Agent, Claims, Operator, Principal, parse_permissions
from ironsecrets.reach import Account, account
from ironsecrets.refusals import Refusal
from ironsecrets.replaying import Divergence
from ironsecrets.secrets import Secret
from ironsecrets.sensitive import Sensitive, wipe
from ironsecrets.state import VaultState

if TYPE_CHECKING:
    from interpreters.web import CallingAgent


class Vault:
    """An unlocked vault. Thread-safe; a context manager; unusable in a forked child, which opens its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def execute(
        self, principal: Principal, command: Ask, *, request: RequestId | None = None
    ) -> Result[Outcome, Refusal]:
        """Decide one command, record it, and perform it: the whole language, for functional callers.

        With ``request`` the command is idempotent: a request that was recorded before is not decided again.
        Raises only :class:`ironsecrets.VaultError` for what the store or the file does.
        """
        return self._engine.execute(principal, command, request)

    def operator(self, name: str) -> OperatorHandle:
        """An operator's handle; ``name`` stands in the log."""
        return operator_handle(self._engine, name)

    def viewer(self, name: str) -> ViewerHandle:
        """A viewer's handle; ``name`` stands in the log."""
        return viewer_handle(self._engine, name)

    def agent(self, token: str, *, authoriser: Authoriser | None = None) -> AgentHandle:
        """The handle of the agent that holds ``token``: one of the vault's own, or with ``authoriser`` one of its kind,
        such as an IC token for :class:`ironsecrets.ICTokens`.

        Raises :class:`ironsecrets.Refused`: ``bad-token``, or the authoriser's refusal. Whether it is the agent's
        valid token, not expired and not suspended, is decided at each use.
        """
        self._engine.check_usable()
        if authoriser is not None:
            return AgentHandle(self._engine, accepted(authoriser.authorise(token)))
        engine = self._engine
        with engine.lock:
            engine.catch_up()
            found = authenticate(engine.state.agents, token)
            if not is_successful(found) and engine.refresh():
                found = authenticate(engine.state.agents, token)
            return AgentHandle(engine, accepted(found))

    def acting_for(self, agent: str, *, permissions: Sequence[str] = ()) -> AgentHandle:
        """An agent's handle without a token: the host vouches for who it is, and that it has these permissions."""
        claims = Claims(permissions=accepted(parse_permissions(permissions))) if permissions else None
        return AgentHandle(self._engine, Agent(accepted(parse_agent_id(agent)), claims=claims))

    def calling_agent(self, *, authoriser: Authoriser | None = None) -> "CallingAgent":
        """A dependency for Starlette and FastAPI: the handle of the agent whose bearer token a request carries."""
        try:
            from interpreters.web import CallingAgent
        except ImportError:
            raise VaultError("this needs starlette: install ironsecrets[starlette]") from None
        return CallingAgent(lambda token: self.agent(token, authoriser=authoriser))

    def leasable(self, agent: AgentHandle, *, environment: str) -> Sequence[Secret]:
        """The secrets that an agent could lease now, by name: for a host that injects them."""
        within = accepted(parse_environment(environment))
        who = agent.agent
        state = self.state
        return [
            secret
            for secret in sorted(state.secrets.by_id.values(), key=lambda secret: secret.name)
            if secret.environment == within
            and secret.deleted_at is None
            and isinstance(
                decide(state.grants, self._engine.now(), agent=who, environment=within, name=secret.name, ttl=None),
                Grant,
            )
        ]

    def use_lease(self, agent: Agent, lease: LeaseId) -> Result[Sensitive, Refusal]:
        """The value that a live lease gives now, for functional callers; the caller wipes it."""
        return self._engine.use_lease(agent, lease, 0).map(lambda used: used[2] or Sensitive(b""))

    def subscribe(
        self, callback: Callable[[Event], object], *, interval: timedelta = timedelta(milliseconds=200)
    ) -> Subscription:
        """Call ``callback`` with what happens from now on, in any process: see :class:`ironsecrets.Event`.

        Events come in order, on a thread of the subscription's own, at most ``interval`` and the callback's own
        time late. Close the subscription, or use it in a ``with``.
        """
        return Subscription(self._engine, callback, interval.total_seconds())

    def scheduler(
        self,
        name: str = "scheduler",
        *,
        rotators: Mapping[str, Rotator] | None = None,
        most: int = MOST,
        interval: timedelta = INTERVAL,
        accept_clock: bool = False,
        keys: bool = True,
        heard: Callable[[Pass], object] | None = None,
    ) -> Scheduler:
        """What rotates values and keys when they are due: on a thread while it is used in a ``with``, or one pass at
        a time with ``run_once()``. ``name`` stands in the log.

        ``rotators`` is what this host has beside ``generated``. Several processes may each have one: one leads.
        """
        return Scheduler(
            engine=self._engine,
            operator=Operator(accepted(parse_person_name(name))),
            rotators=rotators or {},
            most=most,
            interval=interval,
            accept_clock=accept_clock,
            keys=keys,
            heard=heard,
        )

    def slot_of(self, credential: Credential) -> str:
        """The id of the slot that ``credential`` unlocks."""
        slot, root = unlock_root(self._engine.header, credential)
        wipe(root)
        return slot.id

    def now(self) -> int:
        """The time that the next decision would carry at least, in microseconds since the Unix epoch."""
        self._engine.check_usable()
        return self._engine.now()

    def snapshot(self) -> None:
        """Store a snapshot now, so that the next open replays nothing. It happens by itself often enough."""
        self._engine.check_usable()
        with self._engine.lock:
            self._engine.catch_up()
            self._engine.take_snapshot()

    @property
    def state(self) -> VaultState:
        """The state as of now, a frozen value."""
        self._engine.check_usable()
        with self._engine.lock:
            self._engine.catch_up()
            return self._engine.state

    @property
    def header(self) -> Header:
        """What stands in clear: slots with their costs, epochs, the audit public key."""
        return self._engine.header

    def entries(self, start: int = 0) -> Iterator[bytes]:
        """The log's entries from number ``start``, each as the exact bytes that were hashed. Those that are archived
        are left out."""
        state = self.state
        return self._engine.plain_entries(max(start, state.archived), state.log.size)

    def checkpoint(self) -> str:
        """A signed checkpoint of the log as it is now (C2SP tlog-checkpoint). Keep it, and open with it."""
        return proof.checkpoint_note(self._engine)

    def verifier_key(self) -> str:
        """The public key that checkpoints are checked with, as ``name+hash+key``."""
        return proof.verifier_key(self._engine).text()

    def prove(self, seq: int) -> str:
        """A proof that entry ``seq`` is in the log as it is now: a C2SP ``tlog-proof`` with the entry in it.

        Whoever has the verifier key checks it without the vault. Refusals: ``out-of-range``.
        """
        return proof.prove_inclusion(self._engine, seq)

    def consistency(self, older: int, newer: int | None = None) -> str:
        """A proof that the log at ``newer`` entries (None: now) has all of its first ``older`` ones, unchanged.

        Whoever has the verifier key checks it without the vault. Refusals: ``out-of-range``.
        """
        return proof.prove_consistency(self._engine, older, self.state.log.size if newer is None else newer)

    def shown_to(self, witness: Witness) -> None:
        """Show the log as it is now to a witness, who remembers it.

        Raises :class:`ironsecrets.IntegrityError` where the witness has seen a log that this one does not continue.
        """
        proof.show(self._engine, witness)

    def backup(self, path: str | Path, progress: proof.Progress | None = None) -> Backup:
        """Copy the vault as it is now into one new file, verified before it gets its name. Others go on writing."""
        return backup(self._engine, Path(path), progress)

    def migrate(self, to: str | Place, progress: proof.Progress | None = None) -> Moved:
        """Copy the vault to ``to``, a path or a ``postgresql://`` URL where no vault may be, and verify it there by
        replay before it counts: the same log, with the same root hash. This one stays as it was."""
        return migrate(self._engine, parse_place(to) if isinstance(to, str) else to, progress)

    def archive(
        self, name: str, *, before: datetime, folder: str | Path, progress: proof.Progress | None = None
    ) -> Archiving:
        """Move all entries from before a moment (an aware datetime) into a signed segment file in ``folder``.

        What they did stays, and proofs and checkpoints hold as before. ``name`` is the operator's, for the log.
        Refusals: ``nothing-to-archive``.
        """
        operator = Operator(accepted(parse_person_name(name)))
        return archive(self._engine, operator, before=micros_of(before), folder=Path(folder), progress=progress)

    def check_segments(self, folder: str | Path, progress: proof.Progress | None = None) -> Result[Shown, Divergence]:
        """Hold the segment files in ``folder`` against this vault's log, and say what nobody can show any more."""
        self._engine.check_usable()
        with self._engine.lock:
            self._engine.catch_up()
            leaves = proof.leaves_of(self._engine, self._engine.state.archived)
            return check_segments(self._engine, Path(folder), leaves, progress)

    def compact(self) -> Compaction:
        """Rewrite the file without its free pages."""
        return compact(self._engine)

    def account(self, segments: str | Path | None = None) -> Account:
        """Who could reach what, and who did, from the first entry on that is not archived; from the first of all with
        the folder of the ``segments``."""
        self._engine.check_usable()
        with self._engine.lock:
            self._engine.catch_up()
            if segments is None:
                return agreed(account(self.entries(), proof.base_state(self._engine)))
            archived = archived_entries(self._engine, Path(segments))
            return agreed(account(itertools.chain(archived, self.entries(self.state.archived))))

    def verify(self, progress: proof.Progress | None = None) -> Result[Verification, Divergence]:
        """Replay everything and hold header, snapshot, state and every sealed record against it."""
        return proof.verify(self._engine, progress)

    def export(self, folder: str | Path, progress: proof.Progress | None = None) -> Path:
        """Write ``log.jsonl``, ``checkpoint.txt`` and ``verifier.key`` into ``folder``, mode 0600; the folder.

        Whoever has the three can verify and replay the log without the vault.
        """
        target = Path(folder)
        if self.state.archived:
            raise VaultError(
                f"the first {self.state.archived} entries are archived, and an export is a whole log; archive the rest"
                " too, and verify the segments"
            )
        make_folder(target)
        with self._engine.lock:
            note = self.checkpoint()
            size = self._engine.state.log.size
            write_private(target / "log.jsonl", _lines(self._engine.plain_entries(0, size), size, progress))
        write_private(target / "checkpoint.txt", [note.encode()])
        write_private(target / "verifier.key", [self.verifier_key().encode() + b"\n"])
        return target

    def sinks(self) -> tuple[SinkStatus, ...]:
        """How far each audit sink is."""
        return self._engine.sinks.status(self.state.log.size)

    def close(self) -> None:
        """Wipe the keys and let go of the store. Closing twice is no error."""
        self._engine.close()

    def __enter__(self) -> "Vault":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<vault {self._engine.header.vault}>"


def _lines(entries: Iterator[bytes], size: int, progress: proof.Progress | None) -> Iterator[bytes]:
    for number, entry in enumerate(entries):
        if progress is not None and number % 1000 == 0:
            progress(number, size)
        yield entry + b"\n"
