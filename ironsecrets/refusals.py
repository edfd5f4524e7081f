"""A refusal: a value that says why a command was not applied.

Each capability keeps its own refusals beside its rules. A refusal's ``code`` is stable and stands in the audit
log as the verdict; its ``message`` is one line for people. Both are constants, so no name and no value can
reach a message.
"""

import re
from typing import TypeVar

import attrs
from returns.result import Failure, Result, Success

_T = TypeVar("_T")

APPLIED = "applied"
CODE_PATTERN = r"\A[a-z]+(?:-[a-z]+)*\Z"


@attrs.frozen
class Refusal:
    """Why a command was not applied: a stable ``code`` (such as ``no-grant``) and one line for people."""

    code: str = attrs.field(validator=attrs.validators.matches_re(re.compile(CODE_PATTERN)))
    message: str


def decided(found: _T | Refusal) -> Result[_T, Refusal]:
    """What was found, or the refusal, as a ``Result``.

    The steps within a decision give either as it is: a lease takes five of them, and a replay takes millions.
    """
    return Failure(found) if isinstance(found, Refusal) else Success(found)


@attrs.frozen
class Tampered:
    """Bytes that do not open, or do not say what they must. ``what`` names the thing, never its content."""

    what: str
