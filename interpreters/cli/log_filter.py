"""Which entries somebody wants to see."""

from collections.abc import Iterable, Iterator
from datetime import datetime

import attrs

from interpreters.conversions import micros_of
from ironsecrets.audit import AuditEntry, decode_entry
from ironsecrets.encoding import as_fields
from ironsecrets.identifiers import SecretName, Selector, covers, parse_secret_name
from ironsecrets.refusals import APPLIED


@attrs.frozen(kw_only=True)
class Wanted:
    """All that is given must fit; None fits everything."""

    agent: str | None = None
    secret: str | None = None
    environment: str | None = None
    command: str | None = None
    verdict: str | None = None
    since: int | None = None
    until: int | None = None

    @classmethod
    def of(
        cls,
        *,
        agent: str | None,
        secret: str | None,
        environment: str | None,
        command: str | None,
        verdict: str | None,
        since: datetime | None,
        until: datetime | None,
    ) -> "Wanted":
        """From what the command line says."""
        return cls(
            agent=agent,
            secret=secret,
            environment=environment,
            command=command,
            verdict=verdict,
            since=None if since is None else micros_of(since),
            until=None if until is None else micros_of(until),
        )

    def fits(self, entry: AuditEntry) -> bool:
        """Whether ``entry`` is one of those."""
        fields = as_fields(entry.command)
        return (
            (self.since is None or entry.at >= self.since)
            and (self.until is None or entry.at < self.until)
            and self.command in (None, entry.command.type)
            and self.environment in (None, fields.get("environment"))
            and self.verdict in (None, entry.verdict, "applied" if entry.verdict == APPLIED else "refused")
            and (self.agent is None or self.agent in (fields.get("agent"), _agent(entry)))
            and (self.secret is None or _names(fields, self.secret))
        )


def _agent(entry: AuditEntry) -> str | None:
    return entry.principal.id if entry.principal.type == "agent" else None


def _names(fields: dict[str, object], secret: str) -> bool:
    if fields.get("name") == secret:
        return True
    selector, name = fields.get("selector"), parse_secret_name(secret).value_or(SecretName(""))
    return isinstance(selector, str) and bool(name) and covers(Selector(selector), name)


def selected(entries: Iterable[bytes], wanted: Wanted) -> Iterator[tuple[bytes, AuditEntry]]:
    """The entries that fit, as they were hashed and as they read."""
    for raw in entries:
        entry = decode_entry(raw).unwrap()
        if wanted.fits(entry):
            yield raw, entry
