"""IC tokens in the hands of a host: checked and issued with PyJWT, decided upon by the core."""

import base64
import binascii
import json
import os
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, cast

import msgspec
from returns.result import Failure, Result

from interpreters.conversions import accepted
from interpreters.world import Clock, SystemClock
from ironsecrets.ic_tokens import (
    IC_SECRET_TOO_SHORT,
    IC_TOKEN_ALGORITHM,
    IC_TOKEN_MALFORMED,
    IC_TOKEN_SIGNATURE,
    IC_TOKEN_TOO_LARGE,
    ISSUER,
    SECOND,
    SECRET_BYTES,
    TOKEN_LIMIT,
    ICClaims,
    agent_of,
    parse_claims,
)
from ironsecrets.principals import Agent
from ironsecrets.refusals import Refusal
from ironsecrets.sensitive import Sensitive

if TYPE_CHECKING:
    from jwt.types import Options

VARIABLE = "IC_TOKEN_SECRET"
ALGORITHM = "HS256"
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
# What the claims mean is decided in the core, where it replays.
_SIGNATURE_ONLY: "Options" = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_aud": False,
    "verify_sub": False,
    "verify_jti": False,
}


class Authoriser(Protocol):
    """Says which agent a token proves its bearer to be. The core decides what that agent may do."""

    def authorise(self, token: str) -> Result[Agent, Refusal]:
        """The agent, or why the token proves nothing."""
        ...


class ICTokens:
    """The secret that a control panel signs IC tokens with: an :class:`Authoriser`, and an issuer.

    ``secret`` is used as its UTF-8 bytes, of which there must be 32 at least (``ic-secret-too-short``).
    """

    def __init__(self, secret: str | Sensitive, *, clock: Clock | None = None) -> None:
        self._secret = Sensitive(secret.view() if isinstance(secret, Sensitive) else secret)
        if len(self._secret) < SECRET_BYTES:
            accepted(Failure(IC_SECRET_TOO_SHORT), VARIABLE)
        self._clock = SystemClock() if clock is None else clock

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> "ICTokens":
        """With the secret in ``IC_TOKEN_SECRET``."""
        return cls((os.environ if environ is None else environ).get(VARIABLE, ""))

    def authorise(self, token: str) -> Result[Agent, Refusal]:
        """The agent that ``token`` names, with its claims. Expiry and the one valid token are the core's to decide.

        Refusals: ``ic-token-too-large``, ``ic-token-malformed``, ``ic-token-algorithm``, ``ic-token-signature``,
        ``ic-token-claims``.
        """
        if len(token) > TOKEN_LIMIT or len(token.encode("utf-8", "surrogatepass")) > TOKEN_LIMIT:
            return Failure(IC_TOKEN_TOO_LARGE)
        parts = token.split(".")
        header = _object(parts[0]) if len(parts) == 3 else None
        if header is None or _object(parts[1]) is None:
            return Failure(IC_TOKEN_MALFORMED)
        if header.get("alg") != ALGORITHM:
            return Failure(IC_TOKEN_ALGORITHM)
        if _BASE64URL.fullmatch(parts[2]) is None:
            return Failure(IC_TOKEN_MALFORMED)
        # Nothing else may stand there: `crit`, `b64` or `jwk` would change what is signed, or with what.
        if not {"alg", "typ"}.issuperset(header) or header.get("typ", "JWT") != "JWT":
            return Failure(IC_TOKEN_MALFORMED)
        # Imported late: it takes as long as all of the core.
        import jwt

        key = self._key()
        try:
            found = jwt.decode(token, key, algorithms=[ALGORITHM], options=_SIGNATURE_ONLY)
        except jwt.InvalidSignatureError:
            return Failure(IC_TOKEN_SIGNATURE)
        except (jwt.InvalidTokenError, ValueError):
            return Failure(IC_TOKEN_MALFORMED)
        return parse_claims(found).map(lambda claims: agent_of(claims, token))

    def issue(
        self,
        agent: str,
        *,
        budget: str,
        permissions: Sequence[str] = (),
        expires_in: timedelta | None = None,
    ) -> Sensitive:
        """A token for ``agent``, in force now, and until ``expires_in`` (None: for ever) has passed.

        It is the agent's valid token only once it is enrolled. Refused: ``ic-token-claims``.
        """
        now = self._clock.now() // SECOND
        claims: dict[str, Any] = {"agent_id": agent, "budget_id": budget, "iat": now, "iss": ISSUER}
        claims["permissions"] = list(permissions)
        if expires_in is not None:
            claims["exp"] = now + int(expires_in.total_seconds())
        made: ICClaims = accepted(parse_claims(claims), agent)
        import jwt

        said = {name: value for name, value in msgspec.to_builtins(made).items() if value is not None}
        return Sensitive(jwt.encode(said, self._key(), algorithm=ALGORITHM))

    def wipe(self) -> None:
        """Overwrite the secret. What comes after raises ``ValueError``."""
        self._secret.wipe()

    def _key(self) -> bytes:
        # A wiped secret is all zeros, with which anybody could sign.
        if self._secret.wiped:
            raise ValueError("this secret was wiped")
        return self._secret.bytes()

    def __repr__(self) -> str:
        return "<ICTokens>"


def _object(part: str) -> dict[str, Any] | None:
    """A base64url part (RFC 7515 section 2) as a JSON object in which no name stands twice."""
    if _BASE64URL.fullmatch(part) is None:
        return None
    try:
        raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
        found = json.loads(raw, object_pairs_hook=_once, parse_constant=_refused)
    except (binascii.Error, ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
