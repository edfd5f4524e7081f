"""``postgresql://...`` where a path stood: where the server is, and which vault of it is meant.

Everything that libpq takes goes to libpq, several hosts included. Ours are ``vault`` (one schema may hold many),
``schema``, ``pool`` (connections at most) and ``bound``, the seconds within which a revocation on another machine holds
here.
"""

import re
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import attrs

from interpreters.postgres import needed
from ironsecrets.errors import StoreUnavailable

SCHEMES = ("postgresql", "postgres")
BOUND = 1.0
POOL = 8
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_OURS = ("vault", "schema", "bound", "pool")
# A vault is written to, so a standby is no use; and a server that is gone without a word is noticed within seconds.
_DEFAULTS = {
    "application_name": "ironsecrets",
    "connect_timeout": "10",
    "keepalives_count": "3",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "target_session_attrs": "read-write",
    "tcp_user_timeout": "10000",
}


@attrs.frozen(kw_only=True)
class Location:
    """A vault in a schema of a database. ``conninfo`` may hold a password, so it is never shown."""

    conninfo: str = attrs.field(repr=False)
    shown: str
    """The server and the database, without user and password."""
    schema: str = "ironsecrets"
    vault: str = "default"
    bound: float = BOUND
    pool: int = POOL

    def __str__(self) -> str:
        return f"{self.shown} (schema {self.schema}, vault {self.vault})"


def is_location(text: str) -> bool:
    """Whether ``text`` names a PostgreSQL server and no file."""
    return text.partition("://")[0] in SCHEMES


def parse_location(text: str) -> Location:
    """The location that a URL names; :class:`ironsecrets.StoreUnavailable` in one line where it is none."""
    base, _, query = text.partition("?")
    given = parse_qsl(query, keep_blank_values=True)
    ours = {name: value for name, value in given if name in _OURS}
    theirs = [(name, value) for name, value in given if name not in _OURS]
    for name in ("vault", "schema"):
        if name in ours and not _NAME.fullmatch(ours[name]):
            raise StoreUnavailable(f"the {name} in a postgresql:// URL is lower-case letters, digits, '_' and '-'")
    known = _known(f"{base}?{urlencode(theirs, quote_via=quote)}" if theirs else base)
    return Location(
        conninfo=needed("psycopg.conninfo").make_conninfo(**(_DEFAULTS | known)),
        shown=_shown(known),
        schema=ours.get("schema", "ironsecrets"),
        vault=ours.get("vault", "default"),
        bound=_bound(ours.get("bound")),
        pool=_pool(ours.get("pool")),
    )


def _known(url: str) -> dict[str, Any]:
    conninfo_to_dict = needed("psycopg.conninfo").conninfo_to_dict
    try:
        return {name: value for name, value in conninfo_to_dict(url).items() if value is not None}
    except Exception:
        # libpq's own words repeat what it could not read, which may be a part of the password.
        raise StoreUnavailable(
            "that is no postgresql:// URL that libpq can read: look at its host, port, options, and percent signs"
        ) from None


def _shown(known: dict[str, Any]) -> str:
    hosts = str(known.get("host") or known.get("hostaddr") or "").split(",")
    ports = str(known.get("port") or "").split(",")
    ports += ports[:1] * (len(hosts) - len(ports))
    where = ",".join(f"{host}:{port}" if port else host for host, port in zip(hosts, ports, strict=False))
    return f"postgresql://{where}/{known.get('dbname') or ''}"


def _bound(text: str | None) -> float:
    if text is None:
        return BOUND
    try:
        bound = float(text.removesuffix("s"))
    except ValueError:
        bound = -1.0
    if not 0 <= bound <= 3600:
        raise StoreUnavailable("the bound in a postgresql:// URL is 0 to 3600 seconds, such as bound=1s")
    return bound


def _pool(text: str | None) -> int:
    if text is None:
        return POOL
    if not (text.isascii() and text.isdigit() and 2 <= int(text) <= 1000):
        raise StoreUnavailable("the pool in a postgresql:// URL is 2 to 1000 connections, such as pool=8")
    return int(text)
