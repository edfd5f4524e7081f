"""Commands about keys and slots: ``rotate-key``, ``rekey`` and ``slot``."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from interpreters.cli.base import (
    MASTER_KEY_VARIABLE,
    Duration,
    QuietCommand,
    QuietGroup,
    Session,
    credential_of,
    json_option,
    pass_session,
    prompted,
)
from interpreters.cli.output import emit, progress, say_if_lingering, stamp, table
from interpreters.conversions import when
from interpreters.derivation import (
    Credential,
    below_policy,
    calibrated_cost,
    master_key_credential,
    new_recovery_key,
    passphrase_credential,
    recovery_key_credential,
)
from ironsecrets.epochs import due
from ironsecrets.errors import CannotUnlock
from ironsecrets.header import Argon2Cost, Slot
from ironsecrets.sensitive import Sensitive

NEW_PASSPHRASE_VARIABLE = "IRONSECRETS_NEW_PASSPHRASE"


@click.command("rotate-key", cls=QuietCommand, epilog="Example: ironsecrets rotate-key --if-due")
@click.option("--batch", type=click.IntRange(1, 1000), default=500, show_default=True, help="Secrets a transaction.")
@click.option("--if-due", is_flag=True, help="Only when due by age, by count, or unfinished: for cron.")
@click.option("--every", type=Duration(), help="From now on, due at this age [default: 90d].")
@json_option
@pass_session
def rotate_key(session: Session, batch: int, if_due: bool, every: timedelta | None, as_json: bool) -> None:
    """Open a new epoch, wrap every secret's key under it, and erase the old epoch's key.

    The vault serves reads and writes meanwhile. Interrupted at any point, the next run goes on where it was.
    """
    with session.open() as vault, progress("re-wrapping") as bar:
        operator = session.operator(vault)
        if every is not None:
            operator.key_policy(every)
        state = vault.state
        if if_due and due(state.epochs, state.epoch_age, vault.now()) is None:
            emit(as_json, {"epoch": state.epoch(), "rewrapped": 0, "resumed": False}, lambda: click.echo("not due"))
            return
        done = operator.rotate_key(batch=batch, progress=bar)
    data = {"epoch": done.epoch, "rewrapped": done.rewrapped, "resumed": done.resumed}
    emit(as_json, data, lambda: click.echo(f"epoch {done.epoch} is current; {done.rewrapped} secrets re-wrapped"))
    say_if_lingering(done.final, "the old epoch's key is")


@click.group(cls=QuietGroup, epilog="Example: ironsecrets slot add --recovery-key")
def slot() -> None:
    """List, add, remove and change the ways to unlock the vault."""


@slot.command("list", epilog="Example: ironsecrets slot list --json")
@json_option
@pass_session
def list_slots(session: Session, as_json: bool) -> None:
    """List slots, with their costs."""
    with session.open() as vault:
        slots = vault.header.slots
    data = [
        {"slot": one.id, "kind": one.kind, "created_at": stamp(one.created_at), "cost": _cost(one.cost)}
        for one in slots
    ]
    rows = [(one.id, one.kind, when(one.created_at), _cost(one.cost) or "") for one in slots]
    emit(as_json, data, lambda: table("", ("SLOT", "KIND", "SINCE", "COST"), rows))


def _cost(cost: Argon2Cost | None) -> str | None:
    if cost is None:
        return None
    weak = ", below today's default: run `slot change`" if below_policy(cost) else ""
    return f"Argon2id {cost.memory // 1024} MiB x {cost.passes}{weak}"


def describe_slot(one: Slot) -> str:
    """A slot in words."""
    return f"{one.kind}{f', {cost}' if (cost := _cost(one.cost)) else ''}"


def new_slot_options(function: Any) -> Any:
    """What the new slot is unlocked with."""
    for option in (
        click.option(
            "--calibrate", type=click.FloatRange(0.01, 30), metavar="SECONDS", help="Pick a cost for that time."
        ),
        click.option("--recovery-key", is_flag=True, help="A new recovery key, printed this once."),
        click.option("--master-key", is_flag=True, help="A raw master key, from a hidden prompt."),
        click.option(
            "--new-passphrase-file", type=click.Path(path_type=Path), metavar="PATH", help="A passphrase file."
        ),
    ):
        function = option(function)
    return function


def _new(new_passphrase_file: Path | None, master_key: bool, recovery_key: bool) -> tuple[Credential, Sensitive | None]:
    if sum((new_passphrase_file is not None, master_key, recovery_key)) > 1:
        raise click.UsageError("one of --new-passphrase-file, --master-key and --recovery-key")
    if recovery_key:
        text = new_recovery_key(os.urandom(32))
        return recovery_key_credential(text), text
    if master_key:
        return master_key_credential(prompted("New master key (base64 of 32 bytes)", confirm=True)), None
    if new_passphrase_file is not None:
        return credential_of(new_passphrase_file), None
    if (given := os.environ.get(NEW_PASSPHRASE_VARIABLE)) is not None:
        return passphrase_credential(given), None
    return passphrase_credential(prompted("New passphrase", confirm=True)), None


@slot.command("add", epilog="Example: ironsecrets slot add --recovery-key")
@new_slot_options
@json_option
@pass_session
def add(
    session: Session,
    new_passphrase_file: Path | None,
    master_key: bool,
    recovery_key: bool,
    calibrate: float | None,
    as_json: bool,
) -> None:
    """Add a way to unlock: a passphrase (or IRONSECRETS_NEW_PASSPHRASE), a master key or a recovery key."""
    _place(session, new_passphrase_file, master_key, recovery_key, calibrate, as_json, change=False)


@slot.command("change", epilog="Example: ironsecrets slot change --calibrate 0.5")
@new_slot_options
@json_option
@pass_session
def change(
    session: Session,
    new_passphrase_file: Path | None,
    master_key: bool,
    recovery_key: bool,
    calibrate: float | None,
    as_json: bool,
) -> None:
    """Replace the slot that you unlock with by a new one. Secrets are not touched."""
    _place(session, new_passphrase_file, master_key, recovery_key, calibrate, as_json, change=True)


def _place(
    session: Session,
    file: Path | None,
    master_key: bool,
    recovery_key: bool,
    calibrate: float | None,
    as_json: bool,
    *,
    change: bool,
) -> None:
    unlock = session.unlocking()
    with session.open_with(unlock) as vault:
        new, text = _new(file, master_key, recovery_key)
        cost = None if calibrate is None else calibrated_cost(os.urandom(16), calibrate)
        operator = session.operator(vault)
        made = (operator.change_slot if change else operator.add_slot)(unlock=unlock, new=new, cost=cost)
    shown = None if text is None else text.bytes().decode()

    def people() -> None:
        click.echo(f"slot {made}: {new.kind}")
        if shown is not None:
            click.echo(f"recovery key, shown this once:\n{shown}")

    emit(as_json, {"slot": made, "kind": new.kind, "recovery_key": shown}, people)


@slot.command("remove", epilog="Example: ironsecrets slot remove e4ff232be8f4416b")
@click.argument("slot_id", metavar="SLOT")
@pass_session
def remove(session: Session, slot_id: str) -> None:
    """Remove a way to unlock and erase it from the file. The last one cannot be removed.

    Whoever kept an older copy of the file can still open that copy with it; `rekey` and `rotate-key` make what
    that copy holds of keys useless for the future.
    """
    with session.open() as vault:
        final = session.operator(vault).remove_slot(slot_id)
    click.echo(f"slot {slot_id}: removed")
    say_if_lingering(final, "the slot is")


@click.command(cls=QuietCommand, epilog="Example: ironsecrets rekey --drop e4ff232be8f4416b")
@click.option("--drop", multiple=True, metavar="SLOT", help="A slot that ends; repeat for more.")
@json_option
@pass_session
def rekey(session: Session, drop: tuple[str, ...], as_json: bool) -> None:
    """Replace the root key. Asks for the credential of each slot that stays."""
    unlock = session.unlocking()
    with session.open_with(unlock) as vault:
        known = [unlock]
        left = [one for one in vault.header.slots if one.id not in drop]
        mine = vault.slot_of(unlock)
        for one in left:
            if one.id != mine:
                known.append(_asked(one))
        generation = session.operator(vault).rekey(credentials=known, drop=drop)
    emit(as_json, {"generation": generation}, lambda: click.echo(f"root key replaced; generation {generation}"))


def _asked(one: Slot) -> Credential:
    label = f"{one.kind.replace('-', ' ').capitalize()} of slot {one.id}"
    if one.kind == "master-key" and (given := os.environ.get(MASTER_KEY_VARIABLE)) is not None:
        return master_key_credential(given)
    try:
        text = prompted(label)
    except CannotUnlock:
        raise CannotUnlock(
            f"slot {one.id} ({one.kind}) needs its credential: run on a terminal, or --drop it"
        ) from None
    if one.kind == "passphrase":
        return passphrase_credential(text)
    return master_key_credential(text) if one.kind == "master-key" else recovery_key_credential(text)
