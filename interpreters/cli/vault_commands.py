"""``init``, ``status``, ``tour`` and ``completion``."""

import os

import click

from interpreters.cli.base import QuietCommand, Session, json_option, pass_session
from interpreters.cli.key_commands import describe_slot
from interpreters.cli.output import emit, span, stamp, table
from interpreters.conversions import when
from interpreters.derivation import below_policy, calibrated_cost
from interpreters.doors import create_place
from interpreters.places import check_free, make_room
from ironsecrets.epochs import due
from ironsecrets.state import VaultState


@click.command(cls=QuietCommand, epilog="Example: ironsecrets --vault team.vault init")
@click.option(
    "--calibrate", type=click.FloatRange(0.01, 30), metavar="SECONDS", help="Pick Argon2id's cost for that time."
)
@json_option
@pass_session
def init(session: Session, calibrate: float | None, as_json: bool) -> None:
    """Create a vault, unlocked by a passphrase or by IRON_SECRETS_MASTER_KEY."""
    check_free(session.place)
    credential = session.unlocking(confirm=True)
    make_room(session.place)
    cost = None if calibrate is None else calibrated_cost(os.urandom(16), calibrate)
    with (
        credential.material,
        create_place(session.place, credential, created_by=session.name, cost=cost, sinks=session.sinks()) as vault,
    ):
        made = {"vault": vault.header.vault, "path": str(session.place), "verifier_key": vault.verifier_key()}
    emit(as_json, made, lambda: click.echo(f"created vault {made['vault']} at {made['path']}"))


@click.command(cls=QuietCommand, epilog="Example: ironsecrets status --json")
@json_option
@pass_session
def status(session: Session, as_json: bool) -> None:
    """Show what the vault holds: counts, slots, epochs, log."""
    with session.open() as vault:
        state, header, now, sinks = vault.state, vault.header, vault.now(), vault.sinks()
        broken = [one for one in state.grants.by_id.values() if one.reason is not None and one.live(now)]
        data = {
            "path": str(session.place),
            "vault": header.vault,
            "format": header.format,
            "suite": header.suite,
            "entries": state.log.size,
            "last_at": stamp(state.last_at),
            "root": state.log.root().hex(),
            "secrets": sum(secret.deleted_at is None for secret in state.secrets.by_id.values()),
            "deleted": sum(secret.deleted_at is not None for secret in state.secrets.by_id.values()),
            "agents": len(state.agents.by_id),
            "grants": sum(grant.live(state.last_at) for grant in state.grants.by_id.values()),
            "sealed_at": None if state.sealed is None else stamp(state.sealed.at),
            "break_glass": [grant.id for grant in broken],
            "open_requests": sum(one.open(now) for one in state.oversight.access_requests.by_id.values()),
            "root_generation": state.slots.generation,
            "key_rotation_due": due(state.epochs, state.epoch_age, now),
            "epochs": [
                {"number": epoch.number, "wraps": epoch.wraps, "created_at": stamp(epoch.created_at)}
                for epoch in state.epochs
            ],
            "slots": [
                {
                    "id": slot.id,
                    "kind": slot.kind,
                    "created_at": stamp(slot.created_at),
                    "memory_kib": None if slot.cost is None else slot.cost.memory,
                    "passes": None if slot.cost is None else slot.cost.passes,
                    "below_default": below_policy(slot.cost),
                }
                for slot in header.slots
            ],
            "sinks": [{"name": sink.name, "behind": sink.size - sink.position, "error": sink.error} for sink in sinks],
        }
    rows = [(key, value) for key, value in data.items() if not isinstance(value, list) and key not in _ELSEWHERE]
    if state.sealed is not None:
        reason = f": {state.sealed.reason}" if state.sealed.reason else ""
        rows.insert(
            0, ("SEALED", f"since {when(state.sealed.at)} by {state.sealed.by}{reason}; `unseal` lets agents ask")
        )
    for grant in broken:
        rows.insert(0, ("BREAK-GLASS", f"{grant.id} of {grant.agent} is live: {grant.reason}"))
    rows.append(("last entry", when(state.last_at)))
    rows += [
        (f"epoch {epoch.number}", f"{epoch.wraps} wraps, since {when(epoch.created_at)}") for epoch in state.epochs
    ]
    rows += [(f"slot {slot.id}", describe_slot(slot)) for slot in header.slots]
    rows.append(("key rotation", _key_rotation(state, now)))
    rows += [(f"sink {sink.name}", f"{sink.size - sink.position} behind {sink.error or ''}") for sink in sinks]
    emit(as_json, data, lambda: table("", ("", ""), rows))


_ELSEWHERE = ("last_at", "sealed_at", "root_generation", "key_rotation_due")


def _key_rotation(state: VaultState, now: int) -> str:
    reason = due(state.epochs, state.epoch_age, now)
    age = "never by age" if state.epoch_age is None else f"every {span(state.epoch_age)}"
    return f"{age}; due ({reason}): run `rotate-key`" if reason else age


@click.command(cls=QuietCommand, epilog="Example: ironsecrets tour")
@click.option("--keep", is_flag=True, help="Keep the temporary vault and say where it is.")
def tour(keep: bool) -> None:
    """Walk through the main job on a temporary vault, with commands that you can repeat."""
    from interpreters.cli.tour import take

    raise click.exceptions.Exit(take(keep))


@click.command(cls=QuietCommand, epilog='Example: eval "$(ironsecrets completion bash)"')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError("no completion for that shell")
    click.echo(kind(ctx.find_root().command, {}, "ironsecrets", "_IRONSECRETS_COMPLETE").source())
