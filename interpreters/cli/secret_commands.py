"""Commands about secrets."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from interpreters.cli.base import QuietCommand, Session, environment_option, json_option, pass_session
from interpreters.cli.output import emit, progress, say_if_lingering, stamp, table, warn
from interpreters.cli.value_input import ValueCommand, expires_in_option, given_value, strip_newline_option
from interpreters.conversions import accepted, when
from interpreters.dotenv_file import read_env_file
from ironsecrets.encoding import to_base64
from ironsecrets.errors import Refused
from ironsecrets.identifiers import parse_environment, parse_secret_name
from ironsecrets.sealing import VALUE_LIMIT, VALUE_TOO_LARGE
from ironsecrets.secrets import Secret
from ironsecrets.sensitive import Sensitive


def metadata_options(function: Any) -> Any:
    """What may be said about a secret."""
    for option in (
        click.option("--variable", metavar="VAR", help="The variable that `run` injects it as."),
        click.option("--tag", "tags", multiple=True, metavar="TAG", help="A tag; repeat for more."),
        click.option("--provider", metavar="P", help="Whose key it is, such as openai."),
        click.option("--description", metavar="TEXT", help="What it is for (up to 500 characters)."),
    ):
        function = option(function)
    return function


@click.command(cls=ValueCommand, epilog='Example: printf %s "$KEY" | ironsecrets put openai/api-key --env production')
@click.argument("name")
@environment_option
@metadata_options
@strip_newline_option
@expires_in_option
@json_option
@pass_session
def put(
    session: Session,
    name: str,
    environment: str,
    description: str | None,
    provider: str | None,
    tags: tuple[str, ...],
    variable: str | None,
    strip_newline: bool,
    expires_in: timedelta | None,
    as_json: bool,
) -> None:
    """Keep a value as NAME's new version, from a hidden prompt or from stdin, never from an argument."""
    accepted(parse_secret_name(name))
    accepted(parse_environment(environment))
    with given_value(name, strip_newline) as value, session.open() as vault:
        version = session.operator(vault).put(
            name,
            value,
            environment=environment,
            description=description,
            provider=provider,
            tags=tags or None,
            variable=variable,
            expires_in=expires_in,
        )
    made = {"name": name, "environment": environment, "version": version}
    emit(as_json, made, lambda: click.echo(f"{name} in {environment}: version {version}"))


@click.command("import", cls=QuietCommand, epilog="Example: ironsecrets import .env --env production --prefix billing")
@click.argument("file", type=click.Path(path_type=Path))
@environment_option
@click.option("--prefix", default="", metavar="P", help="Put the names below P/.")
@json_option
@pass_session
def import_file(session: Session, file: Path, environment: str, prefix: str, as_json: bool) -> None:
    """Keep every variable of a .env file as a secret. Of duplicates the last one wins, with a warning."""
    accepted(parse_environment(environment))
    read = read_env_file(file)
    below = prefix if not prefix or prefix.endswith("/") else prefix + "/"
    names = [below + variable.key for variable in read.variables]
    for name, variable in zip(names, read.variables, strict=True):
        accepted(parse_secret_name(name), f"line {variable.line}")
        if len(variable.value.encode()) > VALUE_LIMIT:
            raise Refused(VALUE_TOO_LARGE, f"line {variable.line}")
    for line in read.warnings:
        warn(line)
    versions: list[dict[str, Any]] = []
    with session.open() as vault, progress("importing") as bar:
        operator = session.operator(vault)
        for number, (name, variable) in enumerate(zip(names, read.variables, strict=True)):
            version = operator.put(name, variable.value, environment=environment, variable=_injectable(variable.key))
            versions.append({"name": name, "environment": environment, "version": version})
            if bar is not None:
                bar(number + 1, len(names))
    many = "1 secret" if len(versions) == 1 else f"{len(versions)} secrets"
    emit(as_json, versions, lambda: click.echo(f"imported {many} into {environment}"))


def _injectable(key: str) -> str | None:
    return key if key.isidentifier() and key.isascii() and len(key) <= 128 else None


@click.command(cls=QuietCommand, epilog="Example: ironsecrets get openai/api-key --env production --reveal")
@click.argument("name")
@environment_option
@click.option("--version", type=click.IntRange(1), metavar="N", help="An older version.")
@click.option("--reveal", is_flag=True, help="Print the value itself, byte for byte.")
@json_option
@pass_session
def get(session: Session, name: str, environment: str, version: int | None, reveal: bool, as_json: bool) -> None:
    """Show a value: masked, or in full with --reveal. Both are entries in the audit log."""
    with session.open() as vault:
        operator = session.operator(vault)
        about = {"name": name, "environment": environment}
        if not reveal:
            masked = operator.masked(name, environment=environment, version=version)
            emit(as_json, {**about, "masked": masked}, lambda: click.echo(masked))
            return
        with operator.reveal(name, environment=environment, version=version) as value:
            emit(as_json, {**about, **_spelled(value)} if as_json else None, lambda: _print(value))


def _spelled(value: Sensitive) -> dict[str, str]:
    raw = value.bytes()
    try:
        return {"value": raw.decode()}
    except UnicodeDecodeError:
        return {"value_base64": to_base64(raw)}


def _print(value: Sensitive) -> None:
    sys.stdout.buffer.write(value.view())
    if sys.stdout.isatty():
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()


@click.command("list", cls=QuietCommand, epilog="Example: ironsecrets list --env production")
@environment_option
@click.option("--all", "everywhere", is_flag=True, help="Every environment.")
@json_option
@pass_session
def list_secrets(session: Session, environment: str, everywhere: bool, as_json: bool) -> None:
    """List secrets, without values."""
    with session.open() as vault:
        found = session.operator(vault).secrets(environment=None if everywhere else environment)

    def people() -> None:
        if not found:
            click.echo("no secrets" if everywhere else f"no secrets in {environment} (see --env and --all)")
            return
        columns = ("NAME", "ENVIRONMENT", "VERSION", "CHANGED", "PROVIDER", "TAGS", "DESCRIPTION")
        table("", columns, (_row(secret) for secret in found))

    emit(as_json, [_summary(secret) for secret in found], people)


def _row(secret: Secret) -> tuple[object, ...]:
    changed = when(secret.versions[secret.current - 1].created_at)
    tags = ", ".join(secret.tags)
    return secret.name, secret.environment, secret.current, changed, secret.provider, tags, secret.description


def _summary(secret: Secret) -> dict[str, Any]:
    return {
        "name": secret.name,
        "environment": secret.environment,
        "current": secret.current,
        "previous": secret.previous,
        "created_at": stamp(secret.created_at),
        "changed_at": stamp(secret.versions[secret.current - 1].created_at),
        "description": secret.description,
        "provider": secret.provider,
        "tags": list(secret.tags),
        "variable": secret.variable,
    }


@click.command(cls=QuietCommand, epilog="Example: ironsecrets history openai/api-key --env production")
@click.argument("name")
@environment_option
@json_option
@pass_session
def history(session: Session, name: str, environment: str, as_json: bool) -> None:
    """List a secret's versions, with labels."""
    with session.open() as vault:
        secret = session.operator(vault).history(name, environment=environment)
    versions = [
        {
            "version": version.number,
            "label": secret.label(version.number),
            "created_at": stamp(version.created_at),
            "by": version.by,
            "expires_at": stamp(version.expires_at),
            "destroyed_at": stamp(version.destroyed_at),
        }
        for version in secret.versions
    ]
    rows = [
        (v.number, secret.label(v.number), when(v.created_at), v.by, when(v.expires_at), when(v.destroyed_at))
        for v in reversed(secret.versions)
    ]
    columns = ("VERSION", "LABEL", "CREATED", "BY", "EXPIRES", "DESTROYED")
    emit(as_json, {**_summary(secret), "versions": versions}, lambda: table("", columns, rows))


@click.command(cls=QuietCommand, epilog="Example: ironsecrets describe openai/api-key --provider openai --tag billing")
@click.argument("name")
@environment_option
@metadata_options
@pass_session
def describe(
    session: Session,
    name: str,
    environment: str,
    description: str | None,
    provider: str | None,
    tags: tuple[str, ...],
    variable: str | None,
) -> None:
    """Change what is said about a secret; what is left out stays as it was."""
    with session.open() as vault:
        session.operator(vault).describe(
            name,
            environment=environment,
            description=description,
            provider=provider,
            tags=tags or None,
            variable=variable,
        )
    click.echo(f"{name} in {environment}: described")


@click.command(cls=QuietCommand, epilog="Example: ironsecrets rollback openai/api-key --to 2 --env production")
@click.argument("name")
@environment_option
@click.option("--to", type=click.IntRange(1), required=True, metavar="N", help="The version to make current.")
@pass_session
def rollback(session: Session, name: str, environment: str, to: int) -> None:
    """Make an older version's value current again."""
    with session.open() as vault:
        session.operator(vault).rollback(name, environment=environment, to=to)
    click.echo(f"{name} in {environment}: version {to} is current")


@click.command(cls=QuietCommand, epilog="Example: ironsecrets destroy openai/api-key --version 1 --env production")
@click.argument("name")
@environment_option
@click.option("--version", type=click.IntRange(1), required=True, metavar="N", help="The version to erase for good.")
@pass_session
def destroy(session: Session, name: str, environment: str, version: int) -> None:
    """Erase one version's value for good. The current version cannot be destroyed."""
    with session.open() as vault:
        final = session.operator(vault).destroy(name, environment=environment, version=version)
    click.echo(f"{name} in {environment}: version {version} destroyed")
    say_if_lingering(final, "the erased bytes are")


@click.command(cls=QuietCommand, epilog="Example: ironsecrets delete openai/api-key --env staging")
@click.argument("name")
@environment_option
@click.option("--erase", is_flag=True, help="Destroy every version for good and free the name.")
@pass_session
def delete(session: Session, name: str, environment: str, erase: bool) -> None:
    """Hide a secret until `undelete`, or with --erase destroy it for good."""
    with session.open() as vault:
        operator = session.operator(vault)
        if erase:
            final = operator.erase(name, environment=environment)
            click.echo(f"{name} in {environment}: erased")
            say_if_lingering(final, "the erased bytes are")
        else:
            operator.delete(name, environment=environment)
            click.echo(f"{name} in {environment}: deleted; `undelete` brings it back")


@click.command(cls=QuietCommand, epilog="Example: ironsecrets undelete openai/api-key --env staging")
@click.argument("name")
@environment_option
@pass_session
def undelete(session: Session, name: str, environment: str) -> None:
    """Bring a deleted secret back as it was."""
    with session.open() as vault:
        session.operator(vault).undelete(name, environment=environment)
    click.echo(f"{name} in {environment}: back")
