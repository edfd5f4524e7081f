"""A backend of the ``keyring`` package: what a library asks its keyring for comes from a vault, under a lease.

Configured by the environment alone: ``IRONSECRETS_VAULT``, ``IRONSECRETS_TOKEN`` (an agent's), ``IRONSECRETS_ENV``
(else ``development``), and ``IRONSECRETS_PASSPHRASE`` or ``IRON_SECRETS_MASTER_KEY``. The secret's name is
``service/username``, or ``service`` where there is no user name. An agent reads; it neither writes nor deletes.
"""

import os
import threading

from keyring.backend import KeyringBackend
from keyring.compat import properties
from keyring.errors import KeyringError, PasswordDeleteError, PasswordSetError
from returns.result import Success

from interpreters.doors import open_vault
from interpreters.vault import Vault
from ironsecrets.errors import Refused, VaultError
from ironsecrets.identifiers import parse_secret_name

NEEDED = ("IRONSECRETS_VAULT", "IRONSECRETS_TOKEN")
READ_ONLY = "an agent only reads; use `ironsecrets put` and `ironsecrets delete`"
_lock = threading.Lock()
_vaults: dict[tuple[int, str], Vault] = {}


class IronsecretsKeyring(KeyringBackend):
    """Reads passwords from a vault, as the agent whose token is in ``IRONSECRETS_TOKEN``."""

    @properties.classproperty
    def priority(self) -> float:
        """Above other backends where it is configured, and not viable elsewhere."""
        missing = [name for name in NEEDED if name not in os.environ]
        if missing:
            raise RuntimeError(f"set {' and '.join(missing)}")
        return 9

    def get_password(self, service: str, username: str | None) -> str | None:
        """The value, or None where there is none that this agent may have."""
        name = f"{service}/{username}" if username else service
        if not isinstance(parse_secret_name(name), Success):
            return None
        try:
            agent = _vault().agent(os.environ["IRONSECRETS_TOKEN"])
            with agent.lease(name, environment=os.environ.get("IRONSECRETS_ENV", "development")) as lease:
                return lease.text()
        except Refused as refused:
            if refused.refusal.code in ("no-grant", "no-secret", "secret-deleted"):
                return None
            raise KeyringError(str(refused)) from None
        except VaultError as error:
            raise KeyringError(str(error)) from None

    def set_password(self, service: str, username: str, password: str) -> None:
        """Refused."""
        raise PasswordSetError(READ_ONLY)

    def delete_password(self, service: str, username: str) -> None:
        """Refused."""
        raise PasswordDeleteError(READ_ONLY)


def _vault() -> Vault:
    path = os.environ["IRONSECRETS_VAULT"]
    with _lock:
        # By process: a forked child opens its own.
        key = (os.getpid(), path)
        if key not in _vaults:
            _vaults[key] = open_vault(
                path,
                passphrase=os.environ.get("IRONSECRETS_PASSPHRASE"),
                master_key=None
                if "IRONSECRETS_PASSPHRASE" in os.environ
                else os.environ.get("IRON_SECRETS_MASTER_KEY"),
            )
        return _vaults[key]
