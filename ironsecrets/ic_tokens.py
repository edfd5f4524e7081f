"""IC tokens: who an agent is, as the Iron Cage platform says it; a JWT (RFC 7519) signed with HS256.

Claims: ``agent_id`` (``agent_`` and 6 to 32 of a-z0-9), ``budget_id`` (``budget_`` and the same), ``iat`` and
``exp`` in seconds (``exp`` absent or null: never ends; else it is in force while now <= exp), ``iss``
(``iron-control-panel``) and ``permissions``. A token must have these claims and no others, each once.

Checking the signature is an interpreter's; here is what follows from claims that were found authentic. An agent has
exactly one valid token: the vault keeps its digest, and what is not that token is refused (``token-revoked``).
"""

import hashlib
from typing import Annotated, Any, Literal

import attrs
import msgspec
from returns.result import Failure, Result, Success

from ironsecrets.encoding import length_prefixed
from ironsecrets.identifiers import LATEST_TIME, AgentId, Digest, TokenId
from ironsecrets.principals import BUDGET_PATTERN, PERMISSION_LIMIT, Agent, Claims, PermissionField
from ironsecrets.refusals import Refusal

ISSUER = "iron-control-panel"
TOKEN_LIMIT = 8 * 1024
SECRET_BYTES = 32
IC_AGENT_PATTERN = r"\Aagent_[a-z0-9]{6,32}\Z"
SECOND = 1_000_000

IC_TOKEN_TOO_LARGE = Refusal("ic-token-too-large", "an IC token is at most 8 KiB")
IC_TOKEN_MALFORMED = Refusal("ic-token-malformed", "that is no JSON Web Token with each of its fields once")
IC_TOKEN_ALGORITHM = Refusal("ic-token-algorithm", "an IC token is signed with HS256 and with nothing else")
IC_TOKEN_SIGNATURE = Refusal("ic-token-signature", "the IC token was not signed with this secret, or was changed")
IC_TOKEN_CLAIMS = Refusal(
    "ic-token-claims",
    "an IC token has agent_id, budget_id, iat, iss (iron-control-panel), permissions and perhaps exp, well-formed",
)
IC_SECRET_TOO_SHORT = Refusal("ic-secret-too-short", "the secret that IC tokens are signed with has at least 32 bytes")

_Seconds = Annotated[int, msgspec.Meta(ge=0, le=LATEST_TIME // SECOND - 1)]


@attrs.frozen(kw_only=True)
class ICClaims:
    """The claims of an IC token, in the form of the platform."""

    agent_id: Annotated[str, msgspec.Meta(pattern=IC_AGENT_PATTERN)]
    budget_id: Annotated[str, msgspec.Meta(pattern=BUDGET_PATTERN)]
    exp: _Seconds | None = None
    iat: _Seconds
    iss: Literal["iron-control-panel"] = ISSUER
    permissions: Annotated[tuple[PermissionField, ...], msgspec.Meta(max_length=PERMISSION_LIMIT)]


_NAMES = frozenset(field.name for field in attrs.fields(ICClaims))


def parse_claims(found: dict[str, Any]) -> Result[ICClaims, Refusal]:
    """Decoded claims, checked strictly. Refusals: ``ic-token-claims``."""
    # A claim that we do not know may restrict the token, as `nbf` does: refused, never passed over.
    if "iss" not in found or not _NAMES.issuperset(found):
        return Failure(IC_TOKEN_CLAIMS)
    try:
        return Success(msgspec.convert(found, ICClaims))
    except msgspec.ValidationError:
        return Failure(IC_TOKEN_CLAIMS)


def ic_token_digest(token: str) -> Digest:
    """What the vault keeps of an IC token."""
    return Digest(hashlib.sha256(length_prefixed("ironsecrets/v1/ic-token", token)).hexdigest())


def ic_token_id(digest: Digest) -> TokenId:
    """The id of an IC token, which has none of its own: the first 16 hex digits of its digest."""
    return TokenId(digest[:16])


def agent_of(claims: ICClaims, token: str) -> Agent:
    """The agent that an authentic token names. Whether the token is its valid one, the state says."""
    return Agent(
        AgentId(claims.agent_id),
        ic_token_id(ic_token_digest(token)),
        Claims(
            budget=claims.budget_id,
            expires_at=None if claims.exp is None else (claims.exp + 1) * SECOND,
            permissions=tuple(sorted(set(claims.permissions))),
        ),
    )
