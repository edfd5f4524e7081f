"""``init``, ``status``, ``tour`` and ``completion``."""

import click

from interpreters.cli.base import QuietCommand, Session, json_option, pass_session
from interpreters.cli.output import emit, stamp, table, when
from interpreters.doors import create_vault
from ironsecrets.errors import VaultExists


@click.command(cls=QuietCommand, epilog="Example: ironsecrets --vault team.vault init")
@json_option
@pass_session
def init(session: Session, as_json: bool) -> None:
    """Create a vault, unlocked by a passphrase or by IRON_SECRETS_MASTER_KEY."""
    import os

    if os.path.lexists(session.path):
        raise VaultExists(f"{session.path} exists already; nothing was changed")
    if not session.path.parent.exists():
        session.path.parent.mkdir(mode=0o700, parents=True)
    with create_vault(
        session.path, created_by=session.name, sinks=session.sinks(), **session.credential(confirm=True)
    ) as vault:
        made = {"vault": vault.header.vault, "path": str(session.path), "verifier_key": vault.verifier_key()}
    emit(as_json, made, lambda: click.echo(f"created vault {made['vault']} at {made['path']}"))


@click.command(cls=QuietCommand, epilog="Example: ironsecrets status --json")
@json_option
@pass_session
def status(session: Session, as_json: bool) -> None:
    """Show what the vault holds: counts, slots, epochs, log."""
    with session.open() as vault:
        state, header = vault.state, vault.header
        data = {
            "path": str(session.path),
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
                }
                for slot in header.slots
            ],
            "sinks": [
                {"name": sink.name, "behind": sink.size - sink.position, "error": sink.error} for sink in vault.sinks()
            ],
        }
    rows = [(key, value) for key, value in data.items() if not isinstance(value, list) and key != "last_at"]
    rows.append(("last entry", when(state.last_at)))
    rows += [
        (f"epoch {epoch.number}", f"{epoch.wraps} wraps, since {when(epoch.created_at)}") for epoch in state.epochs
    ]
    rows += [
        (
            f"slot {slot.id}",
            slot.kind
            + (
                f", Argon2id {slot.cost.memory // 1024} MiB x {slot.cost.passes}, {slot.cost.lanes} lanes"
                if slot.cost
                else ""
            ),
        )
        for slot in header.slots
    ]
    rows += [(f"sink {sink.name}", f"{sink.size - sink.position} behind {sink.error or ''}") for sink in vault.sinks()]
    emit(as_json, data, lambda: table("", ("", ""), rows))


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
