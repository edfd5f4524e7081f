"""A client process for tests of failover: leases under request ids of its own until told to stop, and says of each
that it was acknowledged. ``python -m tests.hammering URL NUMBER FILE``; ends when FILE appears."""

import sys
from pathlib import Path

from interpreters.derivation import master_key_credential
from interpreters.doors import open_place
from interpreters.places import parse_place
from ironsecrets.drafts import NewLease
from ironsecrets.errors import StoreUnavailable, VaultBusy
from ironsecrets.identifiers import AgentId, Environment, RequestId, SecretName
from ironsecrets.principals import Agent
from properties.worlds import MASTER_KEY

PATIENCE = 60.0


def hammer(url: str, name: str, stop: Path) -> None:
    """Every acknowledged request, a line each; an error that is none of the expected ends it."""
    vault = open_place(parse_place(url), master_key_credential(MASTER_KEY), busy_timeout=PATIENCE)
    draft = NewLease(name=SecretName("shared/key"), environment=Environment("production"))
    number = 0
    while not stop.exists():
        request = RequestId(f"rq_{int(name):08x}{number:024x}")
        try:
            outcome = vault.execute(Agent(AgentId("agent_shared")), draft, request=request).unwrap()
        except (StoreUnavailable, VaultBusy):
            continue
        sys.stdout.write(f"{request} {outcome.seq} {int(outcome.repeated)}\n")
        sys.stdout.flush()
        number += 1
    vault.close()


if __name__ == "__main__":
    hammer(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
