"""The doors: ``create_vault``, ``open_vault`` and ``restore_vault``."""

import os
from collections.abc import Sequence
from pathlib import Path

from interpreters.conversions import accepted
from interpreters.derivation import (
    Credential,
    master_key_credential,
    passphrase_credential,
    recovery_key_credential,
)
from interpreters.genesis import World, first_batch, unlock
from interpreters.outcome import Verification
from interpreters.places import Place, check_free, create, open_store, parse_place
from interpreters.proof import Progress
from interpreters.sinks import Sink
from interpreters.sqlite_store import BUSY_TIMEOUT
from interpreters.store import Store
from interpreters.upkeep import restore
from interpreters.vault import Vault
from interpreters.witness import Witness
from ironsecrets.errors import VaultError, VaultExists
from ironsecrets.header import Argon2Cost
from ironsecrets.identifiers import parse_person_name
from ironsecrets.principals import Operator
from ironsecrets.sensitive import Sensitive

Passphrase = str | bytes | Sensitive


def create_vault(
    path: str | os.PathLike[str],
    *,
    passphrase: Passphrase | None = None,
    master_key: Passphrase | None = None,
    created_by: str = "operator",
    cost: Argon2Cost | None = None,
    sinks: Sequence[Sink] = (),
    world: World | None = None,
) -> Vault:
    """Make a vault at ``path`` (mode 0600) and open it, unlocked by a passphrase or by a raw master key.

    ``path`` may be a ``postgresql://`` URL: the vault is then shared by all who know it, on any machine.
    ``master_key`` is 32 bytes or their base64. ``cost`` is the slot's Argon2id cost (None: RFC 9106's second
    recommended option, 64 MiB). Raises :class:`ironsecrets.VaultExists`, :class:`ironsecrets.StoreUnavailable`.
    """
    where = parse_place(path)
    check_free(where)
    credential = _credential(passphrase, master_key)
    with credential.material:
        return create_place(where, credential, created_by=created_by, cost=cost, sinks=sinks, world=world)


def open_vault(
    path: str | os.PathLike[str],
    *,
    passphrase: Passphrase | None = None,
    master_key: Passphrase | None = None,
    recovery_key: Passphrase | None = None,
    checkpoint: str | None = None,
    witness: Witness | None = None,
    sinks: Sequence[Sink] = (),
    busy_timeout: float = BUSY_TIMEOUT,
    world: World | None = None,
) -> Vault:
    """Open the vault at ``path``, which may be a ``postgresql://`` URL.

    ``checkpoint`` is the last signed checkpoint the caller has seen: a file that was put back to an older copy
    is then refused. So it is with a ``witness``, who remembers by himself.
    ``busy_timeout`` is in seconds: how long to wait for others who write, and for a server that has gone.
    Raises :class:`ironsecrets.VaultNotFound`, :class:`ironsecrets.CannotUnlock`, :class:`ironsecrets.NotAVault`,
    :class:`ironsecrets.NewerFormat`, :class:`ironsecrets.IntegrityError`, :class:`ironsecrets.VaultBusy`,
    :class:`ironsecrets.StoreUnavailable`.
    """
    credential = _credential(passphrase, master_key, recovery_key)
    with credential.material:
        return open_place(
            parse_place(path),
            credential,
            checkpoint=checkpoint,
            witness=witness,
            sinks=sinks,
            busy_timeout=busy_timeout,
            world=world,
        )


def restore_vault(
    backup: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    passphrase: Passphrase | None = None,
    master_key: Passphrase | None = None,
    recovery_key: Passphrase | None = None,
    operator: str = "operator",
    checkpoint: str | None = None,
    witness: Witness | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Put a backup at ``path``, where nothing may be: verify all of it, and mark the restore in its log.

    It appears whole, with mode 0600, or not at all. A backup from before what ``checkpoint`` or ``witness`` has seen
    is refused. Raises what :func:`open_vault` raises, and :class:`ironsecrets.VaultExists`.
    """
    who = Operator(accepted(parse_person_name(operator)))
    credential = _credential(passphrase, master_key, recovery_key)
    with credential.material:
        return restore(
            Path(backup), parse_place(path), credential, who, checkpoint=checkpoint, witness=witness, progress=progress
        )


def create_on(
    store: Store, credential: Credential, *, created_by: str = "operator", world: World | None = None
) -> Vault:
    """Make a vault on an empty store of the caller's choice, and open it."""
    creator = accepted(parse_person_name(created_by))
    if store.load() is not None or not store.commit(first_batch(credential, creator, world or World())):
        raise VaultExists("the store holds a vault already; nothing was changed")
    return open_on(store, credential, world=world)


def open_on(
    store: Store,
    credential: Credential,
    *,
    checkpoint: str | None = None,
    sinks: Sequence[Sink] = (),
    world: World | None = None,
) -> Vault:
    """Open what a store of the caller's choice holds. Closing the vault closes the store; failing to open does not."""
    return Vault(unlock(store, credential, checkpoint=checkpoint, sinks=sinks, world=world))


def create_place(
    place: Place,
    credential: Credential,
    *,
    created_by: str,
    cost: Argon2Cost | None = None,
    sinks: Sequence[Sink] = (),
    world: World | None = None,
) -> Vault:
    """Make a vault at ``place`` and open it with a credential, which stays the caller's to wipe."""
    creator = accepted(parse_person_name(created_by))
    create(place, first_batch(credential, creator, world or World(), cost))
    return open_place(place, credential, sinks=sinks, world=world)


def open_place(
    place: Place,
    credential: Credential,
    *,
    checkpoint: str | None = None,
    witness: Witness | None = None,
    sinks: Sequence[Sink] = (),
    busy_timeout: float = BUSY_TIMEOUT,
    world: World | None = None,
) -> Vault:
    """Open what is at ``place`` with a credential, which stays the caller's to wipe."""
    store = open_store(place, patience=busy_timeout)
    try:
        vault = open_on(store, credential, checkpoint=checkpoint, sinks=sinks, world=world)
    except BaseException:
        store.close()
        raise
    if witness is not None:
        try:
            vault.shown_to(witness)
        except BaseException:
            vault.close()
            raise
    return vault


def _credential(
    passphrase: Passphrase | None, master_key: Passphrase | None, recovery_key: Passphrase | None = None
) -> Credential:
    given = [one for one in (passphrase, master_key, recovery_key) if one is not None]
    if len(given) != 1:
        raise VaultError("give one of a passphrase, a master key and a recovery key")
    if passphrase is not None:
        return passphrase_credential(passphrase)
    return master_key_credential(given[0]) if master_key is not None else recovery_key_credential(given[0])
