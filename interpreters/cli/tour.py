"""The tour: the main job on a temporary vault, each step a real command whose outcome is checked."""

import os
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import attrs
import click

ENV_FILE = """\
# what a service needs
export OPENAI_API_KEY="sk-proj-{openai}"   # quoted, with a comment
DATABASE_URL=postgresql://app:{database}@db/app?sslmode=require
SESSION_KEY={session}
"""
SHOW_KEY = "echo the child sees a key of ${#OPENAI_API_KEY} characters"


@attrs.define
class Tour:
    """Where the tour runs, and how many steps went otherwise than they should."""

    folder: Path
    environment: dict[str, str]
    failures: int = 0

    def say(self, line: str) -> None:
        """What comes next."""
        click.secho(f"\n{line}", bold=True)

    def run(self, *arguments: str, status: int = 0, holds: str = "", lacks: str = "") -> str:
        """Run a command, show it, and check its exit status and what it prints."""
        click.secho(f"  $ ironsecrets {shlex.join(arguments)}", fg="cyan")
        done = subprocess.run(
            [sys.executable, "-m", "interpreters.cli", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        output = done.stdout + done.stderr
        for line in output.splitlines():
            click.echo(f"    {line}")
        if status:
            click.echo(f"    (exit status {done.returncode})")
        if done.returncode != status or holds not in output or (lacks and lacks in output):
            self.failures += 1
            click.secho(f"    this step went wrong: expected exit status {status}", fg="red", err=True)
        return done.stdout.strip()


def take(keep: bool) -> int:
    """Walk the tour; 0 only if each step did what it says."""
    folder = Path(tempfile.mkdtemp(prefix="ironsecrets-tour-"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("IRONSECRETS_", "IRON_SECRETS_"))}
    environment |= {
        "IRONSECRETS_VAULT": "tour.vault",
        "IRONSECRETS_PASSPHRASE": secrets.token_urlsafe(16),
        "IRONSECRETS_ENV": "production",
    }
    tour = Tour(folder=folder, environment=environment)
    try:
        _walk(tour)
    finally:
        if keep:
            click.echo(f"\nthe vault is {folder / 'tour.vault'}")
            click.echo(f"its passphrase is {environment['IRONSECRETS_PASSPHRASE']}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if tour.failures:
        click.secho(f"\n{tour.failures} steps went wrong", fg="red", err=True)
        return 1
    click.secho("\nEvery step did what it says.", fg="green", bold=True)
    return 0


def _walk(tour: Tour) -> None:
    openai = secrets.token_urlsafe(24)
    (tour.folder / ".env").write_text(ENV_FILE.format(openai=openai, database=secrets.token_hex(8), session="0" * 12))

    tour.say("Create a vault and import what a service keeps in its .env; values are shown masked.")
    tour.run("init", holds="created vault")
    tour.run("import", ".env", holds="imported 3 secrets")
    tour.run("list", holds="OPENAI_API_KEY", lacks=openai)
    tour.run("get", "OPENAI_API_KEY", holds="sk-proj-***", lacks=openai)

    tour.say("Grant one agent one key, for a minute at a time, and run a program with it injected.")
    tour.run("grant", "agent_researcher", "OPENAI_API_KEY", "--ttl", "1m", "--expires", "30d", holds="gr_")
    child = ("--", "sh", "-c", SHOW_KEY)
    tour.run("run", "--agent", "agent_researcher", *child, holds=f"a key of {len(openai) + 8} characters")

    tour.say("Be refused: another agent, another environment, a name that was not granted.")
    wanted = ("--set", "OPENAI_API_KEY=OPENAI_API_KEY")
    tour.run("grant", "agent_visitor", "weather/*", holds="gr_")
    tour.run("run", "--agent", "agent_visitor", *wanted, *child, status=3, holds="no grant", lacks="characters")
    staging = ("run", "--agent", "agent_researcher", "--env", "staging")
    tour.run(*staging, *wanted, *child, status=3, holds="no grant", lacks="characters")
    database = ("--set", "DATABASE_URL=DATABASE_URL")
    tour.run("run", "--agent", "agent_researcher", *database, "--", "env", status=3, holds="no grant")

    tour.say("Be refused once a grant has expired.")
    tour.run("grant", "agent_brief", "OPENAI_API_KEY", "--ttl", "1s", "--expires", "1s", holds="gr_")
    time.sleep(1.1)
    tour.run("run", "--agent", "agent_brief", *wanted, *child, status=3, holds="expired", lacks="characters")

    tour.say(
        "An agent asks for what it may not lease; an operator approves, for five minutes at a time, ten times an hour."
    )
    request = ("request", "ask", "DATABASE_URL", "--agent", "agent_researcher", "--reason", "month end")
    asked = tour.run(*request, holds="ar_")
    tour.run("request", "list", holds="month end")
    tour.run("request", "approve", asked, "--ttl", "5m", "--rate", "10/1h", holds="gr_")
    shown = ("--redact", "--", "sh", "-c", "echo the child prints $DATABASE_URL")
    tour.run("run", "--agent", "agent_researcher", *database, *shown, holds="prints [redacted]", lacks="postgresql://")

    tour.say("The kill switch: every agent is refused, in every process, until you say otherwise.")
    tour.run("seal", "--reason", "a drill", holds="sealed")
    tour.run("run", "--agent", "agent_researcher", *wanted, *child, status=3, holds="sealed", lacks="characters")
    tour.run("unseal", holds="unsealed")

    tour.say("Rotate a value on schedule, or now: the next use sees the new one, the one before is kept as previous.")
    policy = ("--every", "30d", "--rotator", "generated", "--overlap", "1h")
    tour.run("rotation", "set", "SESSION_KEY", *policy, holds="every 30d, generated, overlap 1h")
    tour.run("rotation", "now", "SESSION_KEY", holds="version 2 is current, 1 is previous")
    tour.run("history", "SESSION_KEY", holds="previous")
    tour.run("grant", "agent_web", "SESSION_KEY", holds="gr_")
    show = ("--", "sh", "-c", "echo the next child sees one of ${#SESSION_KEY} characters")
    tour.run("run", "--agent", "agent_web", *show, holds="one of 32 characters")
    tour.run("rotation", "set", "OPENAI_API_KEY", "--preset", "llm-api-key", holds="every 90d")
    tour.run("rotation", "due", "--within", "91d", holds="OPENAI_API_KEY")

    tour.say("Rotate the vault's own key: every secret's key is wrapped anew, no value is touched.")
    tour.run("rotate-key", holds="epoch 2 is current; 3 secrets re-wrapped")

    tour.say("Read the log: every decision stands there, refusals too, and no value.")
    tour.run("audit", "log", "--last", "34", holds="no-grant", lacks=openai)

    tour.say("Verify: the log replays through the functions that decided, and every record opens.")
    tour.run("audit", "verify", holds="verified")

    tour.say("Export, and verify without the vault and without its passphrase.")
    tour.run("audit", "export", "evidence", holds="exported")
    offline = ("audit", "verify", "evidence/log.jsonl", "--key", "evidence/verifier.key")
    offline += ("--checkpoint", "evidence/checkpoint.txt")
    tour.run(*offline, holds="verified")

    tour.say("Change one byte of the log: a refusal becomes another agent's.")
    exported = tour.folder / "evidence" / "log.jsonl"
    if not exported.exists():
        tour.failures += 1
        return
    exported.write_bytes(exported.read_bytes().replace(b"agent_visitor", b"agent_visit0r", 1))
    tour.run(*offline, status=5, holds="integrity failure", lacks="verified:")
