"""The command line ``ironsecrets``."""

import os
import sys
from pathlib import Path

import click

from interpreters.cli import proof_commands as _proof_commands
from interpreters.cli import report_commands as _report_commands
from interpreters.cli.agent_commands import agent
from interpreters.cli.audit_commands import audit
from interpreters.cli.base import INTERRUPTED, QuietGroup, Session, WhereItIs, default_name, exit_status
from interpreters.cli.grant_commands import grant, grants, leases, revoke
from interpreters.cli.key_commands import rekey, rotate_key, slot
from interpreters.cli.request_commands import request, seal, unseal
from interpreters.cli.rotation_commands import rotation
from interpreters.cli.run_command import run
from interpreters.cli.secret_commands import (
    delete,
    describe,
    destroy,
    get,
    history,
    import_file,
    list_secrets,
    put,
    rollback,
    undelete,
)
from interpreters.cli.store_commands import migrate, schema
from interpreters.cli.upkeep_commands import backup, compact, doctor, restore
from interpreters.cli.vault_commands import completion, init, status, tour
from interpreters.places import Place
from ironsecrets.errors import VaultError

PROGRAM = "ironsecrets"
# Their commands stand under `audit`.
_MORE_OF_AUDIT = (_proof_commands, _report_commands)


def default_path() -> Path:
    """Where the vault is when nobody says."""
    import platformdirs

    return platformdirs.user_data_path(PROGRAM) / "vault.db"


@click.group(
    cls=QuietGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: ironsecrets --vault team.vault put openai/api-key --env production",
)
@click.option(
    "--vault",
    "place",
    envvar="IRONSECRETS_VAULT",
    type=WhereItIs(),
    metavar="PATH|URL",
    help="The vault file, or postgresql://... (or IRONSECRETS_VAULT).",
)
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Read the passphrase from a file, without its last newline.",
)
@click.option("--as", "name", metavar="NAME", default=default_name, help="Your name in the audit log.")
@click.version_option(package_name=PROGRAM)
@click.pass_context
def cli(ctx: click.Context, place: Place | None, passphrase_file: Path | None, name: str) -> None:
    """A secrets vault for services that run AI agents: grants, leases, rotation, and an audit log that replays.

    The passphrase comes from --passphrase-file, IRONSECRETS_PASSPHRASE, IRON_SECRETS_MASTER_KEY (base64 of 32
    bytes) or a prompt. Exit status: 0 done, 1 unexpected error, 2 usage, 3 refused, 4 cannot unlock,
    5 integrity failure, 6 not found, 7 busy or unavailable.
    """
    ctx.obj = Session(place=place or default_path(), passphrase_file=passphrase_file, name=name)


for command in (
    init,
    status,
    tour,
    put,
    import_file,
    get,
    list_secrets,
    history,
    describe,
    rollback,
    destroy,
    delete,
    undelete,
    agent,
    grant,
    grants,
    leases,
    revoke,
    request,
    seal,
    unseal,
    rotate_key,
    rekey,
    slot,
    rotation,
    run,
    audit,
    backup,
    restore,
    compact,
    doctor,
    migrate,
    schema,
    completion,
):
    cli.add_command(command)


def fail(line: str, status: int) -> None:
    """One clear line on stderr, and the exit status."""
    click.secho(f"{PROGRAM}: {line}", fg="red", err=True)
    sys.exit(status)


def main() -> None:
    """The entry point. No traceback reaches a user."""
    try:
        sys.exit(cli.main(prog_name=PROGRAM, standalone_mode=False) or 0)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except VaultError as error:
        fail(str(error), exit_status(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except MemoryError:
        fail("not enough memory", 1)
    except OSError as error:
        fail(f"{error.strerror or 'input/output error'}{f': {error.filename}' if error.filename else ''}", 1)
    except Exception as error:
        # Only the kind: the text of an error that nobody foresaw may hold a value.
        fail(f"unexpected error ({type(error).__name__}); please report it, with what you did", 1)
