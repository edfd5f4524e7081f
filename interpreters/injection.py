"""Injection into a process: a command with an agent's secrets in its environment, and nowhere else.

Each secret is leased for the agent, the command gets the values as environment variables, signals are passed
on, and the leases are released when it ends. The vault's own variables are taken out of its environment. A command
that runs for long can be told when a value was rotated, find the new one in a file, or be started anew.
"""

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import attrs

from interpreters.agent_handle import AgentHandle
from interpreters.kept_file import BadVariable, KeptFile
from interpreters.lease_handle import LeaseHandle
from interpreters.needles import needles
from interpreters.piping import RedactedOutput
from interpreters.processes import child_environment
from interpreters.references import Parts, Reference
from interpreters.supervision import News, OnRotate, Supervisor, print_error
from interpreters.vault import Vault
from ironsecrets.errors import Refused, VaultError
from ironsecrets.events import Event
from ironsecrets.grants import NO_GRANT
from ironsecrets.identifiers import LeaseId
from ironsecrets.secrets import Secret
from ironsecrets.sensitive import Sensitive


def variable_for(secret: Secret) -> str:
    """The variable that a secret is injected as: its own, or its name in capitals: ``OPENAI_API_KEY``."""
    if secret.variable is not None:
        return secret.variable
    name = re.sub(r"[^A-Za-z0-9]", "_", secret.name).upper()
    return f"_{name}" if name[0].isdigit() else name


def assignments(vault: Vault, agent: AgentHandle, environment: str) -> dict[str, Parts]:
    """Variables for everything that the agent may lease now.

    Raises :class:`ironsecrets.Refused` where that is nothing, :class:`BadVariable` where two secrets would
    become one variable.
    """
    found: dict[str, str] = {}
    for secret in vault.leasable(agent, environment=environment):
        variable = variable_for(secret)
        if variable in found:
            raise BadVariable(
                f"{found[variable]} and {secret.name} would both become {variable}; choose with --set VAR=NAME"
            )
        found[variable] = secret.name
    if not found:
        raise Refused(NO_GRANT, f"{agent.agent.id} in {environment}")
    return {variable: (Reference(environment, name),) for variable, name in found.items()}


@attrs.define
class Injected:
    """What a command gets: variables put together of secrets, and the lease that each value comes from."""

    agent: AgentHandle
    variables: Mapping[str, Parts]
    file: KeptFile | None = None
    remembered: list[Sensitive] | None = None
    """Every value that the command has ever been given, where somebody scrubs its output."""
    _leases: dict[Reference, LeaseHandle] = attrs.field(factory=dict[Reference, LeaseHandle])
    _lost: set[Reference] = attrs.field(factory=set[Reference])
    _mine: set[LeaseId] = attrs.field(factory=set[LeaseId])
    _since: int = 0
    _warned: set[str] = attrs.field(factory=set[str])

    def references(self) -> list[Reference]:
        """What is needed, each once."""
        parts = (part for one in self.variables.values() for part in one)
        return list(dict.fromkeys(part for part in parts if isinstance(part, Reference)))

    def take(self) -> None:
        """Lease everything, or raise what was refused."""
        for reference in self.references():
            self._since = self._lease(reference)
        self._write()

    def _lease(self, reference: Reference) -> int:
        lease = self._leases[reference] = self.agent.lease(reference.name, environment=reference.environment)
        self._mine.add(lease.id)
        return lease.seq

    def child_environment(self) -> dict[bytes, bytes]:
        """The environment for the command, with the values as they are now."""
        made = {variable.encode(): self._value(parts, injectable=True) for variable, parts in self.variables.items()}
        return child_environment(os.environb) | made

    def _value(self, parts: Parts, *, injectable: bool = False) -> bytes:
        out = b""
        for part in parts:
            if isinstance(part, Reference):
                lease = self._leases[part]
                self._remember(lease)
                part = _injectable(lease) if injectable else lease.bytes()
            out += part
        return out

    def _remember(self, lease: LeaseHandle) -> None:
        if self.remembered is not None:
            value = lease.value()
            if all(known != value for known in self.remembered):
                self.remembered.append(value)

    def concerns(self, event: Event) -> Literal["rotate", "access", "nothing"]:
        """Whether an event is about a value of ours, or about a lease that the file depends on."""
        if event.kind == "rotate":
            ours = Reference(event.environment or "", event.name or "") in self._leases
            return "rotate" if ours and (event.seq or 0) > self._since else "nothing"
        return "access" if self.file is not None and self._mine.intersection(event.leases) else "nothing"

    def refresh(self) -> Literal["all", "some", "later"]:
        """Take the values again, under fresh leases where the old ones have ended, as far as the agent may."""
        try:
            for reference, lease in list(self._leases.items()):
                try:
                    self._remember(lease)
                    lease.view().release()
                except Refused:
                    self._again(reference)
            self._write()
        except VaultError as error:
            self._warn(f"{error}; the command goes on with what it has, and this is tried again")
            return "later"
        return "some" if self._lost else "all"

    def _warn(self, line: str) -> None:
        if line not in self._warned:
            self._warned.add(line)
            print_error(f"warning: {line}")

    def _again(self, reference: Reference) -> None:
        try:
            self._lease(reference)
        except Refused as refused:
            self._warn(f"{refused}; the command keeps what it has of it")
            self._lost.add(reference)
        else:
            self._lost.discard(reference)

    def _write(self) -> None:
        if self.file is not None:
            self.file.write(
                {
                    variable: self._value(parts)
                    for variable, parts in self.variables.items()
                    if self._lost.isdisjoint(parts)
                }
            )

    def release(self) -> None:
        """End the leases."""
        for lease in self._leases.values():
            lease.release()
        for value in self.remembered or ():
            value.wipe()


def run_command(
    vault: Vault,
    *,
    agent: AgentHandle,
    variables: Mapping[str, Parts],
    command: Sequence[str],
    on_rotate: OnRotate = None,
    env_file: Path | None = None,
    redact: bool = False,
) -> int:
    """Run ``command`` with ``variables`` injected; its exit status.

    A command that a signal ended gives 128 and the signal's number, as a shell does. Nothing is started unless
    every secret is leased. ``on_rotate``: a signal for the command after one of its values was rotated, or
    ``Restart``. ``env_file``: a file with the variables, kept up to date before that, and removed at the end.
    ``redact``: its output goes through us, scrubbed of every value that it was given.
    """
    with ExitStack() as stack:
        file = None if env_file is None else stack.enter_context(KeptFile(env_file))
        remembered: list[Sensitive] | None = [] if redact else None
        injected = Injected(agent, variables, file, remembered)
        stack.callback(injected.release)
        news = News(environment=injected.child_environment, concerns=injected.concerns, refresh=injected.refresh)
        output = None if remembered is None else RedactedOutput(lambda: needles(remembered))
        supervisor = Supervisor(command, news, on_rotate, output)
        if file is not None or on_rotate is not None:
            stack.enter_context(vault.subscribe(supervisor.events.put))
        injected.take()
        return supervisor.run()


def _injectable(lease: LeaseHandle) -> bytes:
    value = lease.bytes()
    if b"\0" in value:
        raise BadVariable(f"the value of {lease.name} holds a NUL byte and cannot be an environment variable")
    return value
