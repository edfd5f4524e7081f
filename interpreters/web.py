"""Starlette and FastAPI: who calls, and what it may have, as dependencies.

Starlette calls them with the request; FastAPI takes them in ``Depends(...)``.
"""

from collections.abc import Callable, Iterator

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from interpreters.agent_handle import AgentHandle
from interpreters.lease_handle import LeaseHandle
from ironsecrets.errors import Refused, StoreUnavailable, VaultBusy

CHALLENGE = {"WWW-Authenticate": "Bearer"}
CLOSED = frozenset({"agent-suspended", "vault-sealed"})


class CallingAgent:
    """The agent whose token stands in ``Authorization: Bearer ...``; else 401. A suspended one, or any agent while the
    vault is sealed, is 403."""

    def __init__(self, authenticate: Callable[[str], AgentHandle]) -> None:
        self._authenticate = authenticate

    def __call__(self, connection: HTTPConnection) -> AgentHandle:
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise HTTPException(401, "no bearer token", CHALLENGE)
        try:
            agent = self._authenticate(token.strip())
            # An authentic token may have been replaced, or have expired: who calls with it is nobody.
            agent.admit()
        except Refused as refused:
            if refused.refusal.code in CLOSED:
                raise HTTPException(403, refused.refusal.code) from None
            raise HTTPException(401, refused.refusal.code, CHALLENGE) from None
        except (VaultBusy, StoreUnavailable):
            raise HTTPException(503, "the vault is busy") from None
        return agent


class LeaseFor:
    """A lease for as long as a request is answered. What is refused is 403; a busy store, 503."""

    def __init__(self, lease: Callable[[], LeaseHandle]) -> None:
        self._lease = lease

    def __call__(self) -> Iterator[LeaseHandle]:
        try:
            lease = self._lease()
        except Refused as refused:
            raise HTTPException(403, refused.refusal.code) from None
        except (VaultBusy, StoreUnavailable):
            raise HTTPException(503, "the vault is busy") from None
        with lease:
            yield lease
