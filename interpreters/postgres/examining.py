"""What can be wrong with a server, and with the role that a vault is used as."""

from collections.abc import Iterator

from interpreters.doctor import Finding
from interpreters.postgres.connections import connect
from interpreters.postgres.errors import translated
from interpreters.postgres.location import Location

_FACTS = (
    "SELECT version(), current_setting('full_page_writes', true), current_setting('synchronous_standby_names', true),"
    " inet_server_addr() IS NULL OR host(inet_server_addr()) IN ('127.0.0.1', '::1'),"
    " (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()),"
    " has_table_privilege(%s, 'UPDATE') OR has_table_privilege(%s, 'DELETE'), current_user"
)


def examined(location: Location) -> Iterator[Finding]:
    """Every finding about the server."""
    table = f'"{location.schema}".entries'
    with translated(location), connect(location) as link:
        row = link.execute(_FACTS, (table, table)).fetchone()
    assert row is not None
    version, whole_pages, standbys, near, encrypted, may_change, role = row
    yield Finding(check="server", verdict="ok", found=" ".join(str(version).split()[:2]))
    if whole_pages == "off":
        yield Finding(
            check="durability",
            verdict="warning",
            found="full_page_writes = off: a crash may leave torn pages",
            advice="turn it on",
        )
    waits = f"commits wait for {standbys}" if standbys else "commits wait for no standby: the server's disk has them"
    yield Finding(check="standby", verdict="ok", found=waits)
    if near or encrypted:
        yield Finding(check="transport", verdict="ok", found="TLS" if encrypted else "does not leave this machine")
    else:
        advice = "sslmode=verify-full in the URL, with sslrootcert"
        found = "not encrypted: what is sealed stays sealed, and who asks for what can be seen"
        yield Finding(check="transport", verdict="warning", found=found, advice=advice)
    if may_change:
        advice = "let services use a role of their own: `schema --service ROLE`"
        yield Finding(check="role", verdict="warning", found=f"{role} may change and delete entries", advice=advice)
    else:
        yield Finding(check="role", verdict="ok", found=f"{role} may add entries, and not change or delete one")
