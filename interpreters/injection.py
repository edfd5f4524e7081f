"""Injection into a process: a command with an agent's secrets in its environment, and nowhere else.

Each secret is leased for the agent, the command gets the values as environment variables, signals are passed
on, and the leases are released when it ends. The vault's own variables are taken out of its environment.
"""

import errno
import os
import re
import signal
import subprocess
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType

from interpreters.lease_handle import LeaseHandle
from interpreters.vault import Vault
from ironsecrets.errors import Refused, VaultError
from ironsecrets.grants import NO_GRANT
from ironsecrets.secrets import Secret

FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGALRM")
FROM_TERMINAL = frozenset({"SIGINT", "SIGQUIT", "SIGWINCH"})
NOT_FOUND, NOT_EXECUTABLE = 127, 126


class BadVariable(VaultError):
    """A secret cannot become the environment variable that was asked for."""


def variable_for(secret: Secret) -> str:
    """The variable that a secret is injected as: its own, or its name in capitals: ``OPENAI_API_KEY``."""
    if secret.variable is not None:
        return secret.variable
    name = re.sub(r"[^A-Za-z0-9]", "_", secret.name).upper()
    return f"_{name}" if name[0].isdigit() else name


def assignments(vault: Vault, agent: str, environment: str) -> dict[str, str]:
    """Variable to secret name, for everything that the agent may lease now.

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
        raise Refused(NO_GRANT, f"{agent} in {environment}")
    return found


def child_environment(base: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """``base`` without the vault's own variables."""
    own = (b"IRONSECRETS_", b"_IRONSECRETS_")
    return {k: v for k, v in base.items() if not k.startswith(own) and k != b"IRON_SECRETS_MASTER_KEY"}


def run_command(
    vault: Vault, *, agent: str, environment: str, variables: Mapping[str, str], command: Sequence[str]
) -> int:
    """Run ``command`` with ``variables`` (variable to secret name) injected; its exit status.

    A command that a signal ended gives 128 and the signal's number, as a shell does. Nothing is started unless
    every secret is leased.
    """
    handle = vault.acting_for(agent)
    with ExitStack() as stack:
        child_env = child_environment(os.environb)
        for variable, name in variables.items():
            lease = stack.enter_context(handle.lease(name, environment=environment))
            child_env[variable.encode()] = _injectable(lease)
        return _supervise(command, child_env)


def _injectable(lease: LeaseHandle) -> bytes:
    value = lease.bytes()
    if b"\0" in value:
        raise BadVariable(f"the value of {lease.name} holds a NUL byte and cannot be an environment variable")
    return value


def _supervise(command: Sequence[str], environment: dict[bytes, bytes]) -> int:
    with _forwarding() as forward:
        try:
            child = subprocess.Popen(command, env=environment)
        except OSError as error:
            if error.errno == errno.E2BIG:
                raise BadVariable("the values are too large for a process environment") from None
            missing = isinstance(error, FileNotFoundError)
            print_error(f"{command[0]}: {'command not found' if missing else error.strerror}")
            return NOT_FOUND if missing else NOT_EXECUTABLE
        forward(child)
        status = child.wait()
    return 128 - status if status < 0 else status


def print_error(line: str) -> None:
    """One line on stderr, as the command line prints its errors."""
    os.write(2, f"ironsecrets: {line}\n".encode())


class _Forward:
    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []

    def __call__(self, child: "subprocess.Popen[bytes]") -> None:
        self._child = child
        for number in self._early:
            self._send(number)

    def handle(self, number: int, frame: FrameType | None) -> None:
        if self._child is None:
            self._early.append(number)
        else:
            self._send(number)

    def _send(self, number: int) -> None:
        # A terminal sends these to the whole foreground group, so the child has it already.
        if signal.Signals(number).name in FROM_TERMINAL and _in_foreground():
            return
        if self._child is not None:
            with suppress(ProcessLookupError):
                self._child.send_signal(number)


def _in_foreground() -> bool:
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


@contextmanager
def _forwarding() -> Generator[_Forward]:
    forward = _Forward()
    numbers = [getattr(signal, name) for name in FORWARDED if hasattr(signal, name)]
    before = {number: signal.signal(number, forward.handle) for number in numbers}
    try:
        yield forward
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
