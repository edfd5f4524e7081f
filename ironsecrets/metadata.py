"""What may be said about a secret, beside its name: for people, bounded, without control characters."""

from collections.abc import Sequence
from typing import Annotated

import attrs
import msgspec
from returns.result import Failure, Result, Success

from ironsecrets.refusals import Refusal

Description = Annotated[str, msgspec.Meta(pattern=r"\A[^\x00-\x1f\x7f-\x9f\u2028\u2029]{0,500}\Z")]
Reason = Annotated[str, msgspec.Meta(pattern=r"\A[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,500}\Z")]
Tag = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._:=/-]{0,63}\Z")]
Tags = Annotated[tuple[Tag, ...], msgspec.Meta(max_length=16)]
Provider = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9-]{0,31}\Z")]
Variable = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z_][A-Za-z0-9_]{0,127}\Z")]

BAD_METADATA = Refusal(
    "bad-metadata",
    "a description is one line of up to 500 characters; a tag, letters, digits and '._:=/-' (up to 64, at most 16"
    " tags); a provider, lower-case letters, digits and '-' (up to 32); a variable, a shell variable's name",
)
BAD_REASON = Refusal("bad-reason", "say why in one line of 1 to 500 characters")


@attrs.frozen(kw_only=True)
class Metadata:
    """What may be said about a secret; None says nothing."""

    description: Description | None = None
    provider: Provider | None = None
    tags: Tags | None = None
    variable: Variable | None = None


def parse_metadata(
    description: str | None, provider: str | None, tags: Sequence[str] | None, variable: str | None
) -> Result[Metadata, Refusal]:
    """Refusals: ``bad-metadata``."""
    given = {"description": description, "provider": provider, "tags": tags, "variable": variable}
    try:
        return Success(msgspec.convert(given, Metadata))
    except msgspec.ValidationError:
        return Failure(BAD_METADATA)


def parse_reason(text: str) -> Result[str, Refusal]:
    """A reason, for people who read the log. Refusals: ``bad-reason``."""
    try:
        return Success(msgspec.convert(text, Reason))
    except msgspec.ValidationError:
        return Failure(BAD_REASON)
