"""Identifiers: parsed once at the edge, valid ever after.

No identifier is ever repaired, folded or normalised: a text is an identifier as it stands or it is refused, so
two different texts can never become one name. The ``...Field`` types carry the same patterns into the strict
decoder of the audit log, so that an entry with a malformed identifier does not decode.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, NewType, TypeVar

import msgspec
from returns.result import Failure, Result, Success

from ironsecrets.refusals import Refusal

SecretName = NewType("SecretName", str)
Environment = NewType("Environment", str)
AgentId = NewType("AgentId", str)
Selector = NewType("Selector", str)
PersonName = NewType("PersonName", str)
VaultId = NewType("VaultId", str)
SecretId = NewType("SecretId", str)
GrantId = NewType("GrantId", str)
LeaseId = NewType("LeaseId", str)
TokenId = NewType("TokenId", str)
SlotId = NewType("SlotId", str)
RequestId = NewType("RequestId", str)
RotationId = NewType("RotationId", str)
AccessRequestId = NewType("AccessRequestId", str)
RotatorName = NewType("RotatorName", str)
Digest = NewType("Digest", str)

_SEGMENT = r"(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+"
_NAME = rf"{_SEGMENT}(?:/{_SEGMENT})*"
NAME_PATTERN = rf"\A{_NAME}\Z"
NAME_LIMIT = 255
SELECTOR_PATTERN = rf"\A(?:\*\*|{_SEGMENT}(?:/{_SEGMENT})*(?:/\*\*?)?)\Z"
SELECTOR_LIMIT = NAME_LIMIT + 3
ENVIRONMENT_PATTERN = r"\A[a-z][a-z0-9-]{0,31}\Z"
AGENT_PATTERN = r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z"
PERSON_PATTERN = r"\A[A-Za-z0-9][A-Za-z0-9_.@+-]{0,63}\Z"
ID_PATTERN = r"\A[0-9a-f]{32}\Z"
GRANT_PATTERN = r"\Agr_[0-9a-f]{16}\Z"
LEASE_PATTERN = r"\Als_[0-9a-f]{32}\Z"
REQUEST_PATTERN = r"\Arq_[0-9a-f]{32}\Z"
ROTATION_PATTERN = r"\Art_[0-9a-f]{16}\Z"
ACCESS_REQUEST_PATTERN = r"\Aar_[0-9a-f]{16}\Z"
SHORT_ID_PATTERN = r"\A[0-9a-f]{16}\Z"
DIGEST_PATTERN = r"\A[0-9a-f]{64}\Z"

SecretNameField = Annotated[SecretName, msgspec.Meta(pattern=NAME_PATTERN, max_length=NAME_LIMIT)]
EnvironmentField = Annotated[Environment, msgspec.Meta(pattern=ENVIRONMENT_PATTERN)]
AgentIdField = Annotated[AgentId, msgspec.Meta(pattern=AGENT_PATTERN)]
SelectorField = Annotated[Selector, msgspec.Meta(pattern=SELECTOR_PATTERN, max_length=SELECTOR_LIMIT)]
PersonNameField = Annotated[PersonName, msgspec.Meta(pattern=PERSON_PATTERN)]
VaultIdField = Annotated[VaultId, msgspec.Meta(pattern=ID_PATTERN)]
SecretIdField = Annotated[SecretId, msgspec.Meta(pattern=ID_PATTERN)]
GrantIdField = Annotated[GrantId, msgspec.Meta(pattern=GRANT_PATTERN)]
LeaseIdField = Annotated[LeaseId, msgspec.Meta(pattern=LEASE_PATTERN)]
RequestIdField = Annotated[RequestId, msgspec.Meta(pattern=REQUEST_PATTERN)]
RotationIdField = Annotated[RotationId, msgspec.Meta(pattern=ROTATION_PATTERN)]
AccessRequestIdField = Annotated[AccessRequestId, msgspec.Meta(pattern=ACCESS_REQUEST_PATTERN)]
RotatorNameField = Annotated[RotatorName, msgspec.Meta(pattern=ENVIRONMENT_PATTERN)]
TokenIdField = Annotated[TokenId, msgspec.Meta(pattern=SHORT_ID_PATTERN)]
SlotIdField = Annotated[SlotId, msgspec.Meta(pattern=SHORT_ID_PATTERN)]
DigestField = Annotated[Digest, msgspec.Meta(pattern=DIGEST_PATTERN)]

LATEST_TIME = 253_402_300_799_999_999
Micros = Annotated[int, msgspec.Meta(ge=0, le=LATEST_TIME)]
"""A moment in microseconds since the Unix epoch, UTC, up to the end of the year 9999."""
Span = Annotated[int, msgspec.Meta(ge=1, le=LATEST_TIME)]
"""A length of time in microseconds, at least one."""
Ordinal = Annotated[int, msgspec.Meta(ge=1, le=2**31)]
"""A version or epoch number, counted from 1."""
Size = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]

BAD_NAME = Refusal(
    "bad-name",
    "a secret name is 1 to 255 ASCII letters, digits, '.', '_' or '-', in segments split by '/', none of them"
    " empty, '.' or '..'",
)
BAD_ENVIRONMENT = Refusal(
    "bad-environment", "an environment is a lower-case letter and up to 31 more letters, digits or '-'"
)
BAD_AGENT = Refusal(
    "bad-agent", "an agent id is an ASCII letter or digit and up to 63 more letters, digits, '_', '.' or '-'"
)
BAD_SELECTOR = Refusal(
    "bad-selector",
    "a selector is an exact name, 'prefix/*' (one level), 'prefix/**' (all below) or '**' (all)",
)
BAD_PERSON = Refusal(
    "bad-person", "a person's name is an ASCII letter or digit and up to 63 more letters, digits, '_.@+-'"
)
BAD_ROTATOR = Refusal("bad-rotator", "a rotator's name is a lower-case letter and up to 31 more letters, digits or '-'")
BAD_ID = Refusal("bad-id", "that is not a well-formed identifier of this kind")

_T = TypeVar("_T")


def _parser(
    make: Callable[[str], _T], pattern: str, limit: int, refusal: Refusal
) -> Callable[[str], Result[_T, Refusal]]:
    matcher = re.compile(pattern)

    def parse(text: str) -> Result[_T, Refusal]:
        # Callers hand over what they were given: anything but a text is refused like a malformed one.
        whole = isinstance(text, str) and len(text) <= limit and matcher.match(text)  # pyright: ignore[reportUnnecessaryIsInstance]
        return Success(make(text)) if whole else Failure(refusal)

    parse.__doc__ = f"The text as it stands, or the refusal ``{refusal.code}``: {refusal.message}."
    return parse


parse_secret_name = _parser(SecretName, NAME_PATTERN, NAME_LIMIT, BAD_NAME)
parse_environment = _parser(Environment, ENVIRONMENT_PATTERN, 32, BAD_ENVIRONMENT)
parse_agent_id = _parser(AgentId, AGENT_PATTERN, 64, BAD_AGENT)
parse_selector = _parser(Selector, SELECTOR_PATTERN, SELECTOR_LIMIT, BAD_SELECTOR)
parse_person_name = _parser(PersonName, PERSON_PATTERN, 64, BAD_PERSON)
parse_rotator_name = _parser(RotatorName, ENVIRONMENT_PATTERN, 32, BAD_ROTATOR)
parse_grant_id = _parser(GrantId, GRANT_PATTERN, 19, BAD_ID)
parse_lease_id = _parser(LeaseId, LEASE_PATTERN, 35, BAD_ID)
parse_access_request_id = _parser(AccessRequestId, ACCESS_REQUEST_PATTERN, 19, BAD_ID)
parse_slot_id = _parser(SlotId, SHORT_ID_PATTERN, 16, BAD_ID)
parse_request_id = _parser(RequestId, REQUEST_PATTERN, 35, BAD_ID)


@lru_cache(maxsize=4096)
def selectors_for(name: SecretName) -> tuple[Selector, ...]:
    """Every selector that covers ``name``, the most specific first.

    ``a/b/c`` is covered by ``a/b/c``, ``a/b/*``, ``a/b/**``, ``a/**`` and ``**``. There are as many as the name
    has segments and two more, so a look-up by selector costs the depth of the name, not the number of grants.
    """
    parts = name.split("/")
    below = ["/".join(parts[:depth]) for depth in range(len(parts) - 1, 0, -1)]
    one_level = [below[0] + "/*"] if below else []
    return tuple(Selector(text) for text in (name, *one_level, *(b + "/**" for b in below), "**"))


def covers(selector: Selector, name: SecretName) -> bool:
    """Whether ``selector`` covers ``name``."""
    return selector in selectors_for(name)
