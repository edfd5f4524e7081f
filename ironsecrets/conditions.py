"""Conditions: what a grant asks for beside the name: time, uses, rate, hours, and a permission of the agent's token."""

from typing import Annotated

import attrs
import msgspec
from returns.result import Failure, Result, Success

from ironsecrets.identifiers import LATEST_TIME, Micros, Span
from ironsecrets.principals import PermissionField
from ironsecrets.rates import Rate
from ironsecrets.refusals import Refusal
from ironsecrets.windows import Window, check_window

BAD_GRANT = Refusal(
    "bad-grant",
    "a grant's default time must not exceed its maximum, and it must expire in the future, after it begins",
)

Uses = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
Windows = Annotated[tuple[Window, ...], msgspec.Meta(max_length=16)]


@attrs.frozen(kw_only=True)
class Conditions:
    """Under what conditions a grant permits a lease. Times and spans in microseconds; None and () ask for nothing.

    A lease lasts ``default_ttl``, or up to ``maximum_ttl`` where that is asked for. The grant holds from
    ``not_before`` until just before ``expires_at``, for ``uses`` leases, at most at ``rate``, while one of
    ``windows`` is open, for an agent whose token carries ``permission``.
    """

    default_ttl: Span
    expires_at: Micros | None = None
    maximum_ttl: Span
    not_before: Micros | None = None
    permission: PermissionField | None = None
    rate: Rate | None = None
    uses: Uses | None = None
    windows: Windows = ()

    def live(self, at: int) -> bool:
        """Whether they have not expired at ``at``. The moment of expiry itself is past the end."""
        return self.expires_at is None or at < self.expires_at

    def open(self, at: int) -> bool:
        """Whether a window is open at ``at``, or none is asked for."""
        return not self.windows or any(window.is_open(at) for window in self.windows)

    def bounded(self, until: int) -> int:
        """``until``, but not past the end of the grant."""
        return min(until, LATEST_TIME if self.expires_at is None else self.expires_at)


@attrs.frozen(kw_only=True)
class Terms:
    """Conditions before the moment of the decision is known: ``expires_in`` counts from it, in microseconds."""

    default_ttl: int
    expires_in: int | None = None
    maximum_ttl: int
    not_before: int | None = None
    permission: str | None = None
    rate: Rate | None = None
    uses: int | None = None
    windows: tuple[Window, ...] = ()

    def conditions(self, at: int) -> Conditions:
        """The conditions as of ``at``."""
        return Conditions(
            default_ttl=self.default_ttl,
            expires_at=None if self.expires_in is None else at + self.expires_in,
            maximum_ttl=self.maximum_ttl,
            not_before=self.not_before,
            permission=self.permission,
            rate=self.rate,
            uses=self.uses,
            windows=self.windows,
        )


DEFAULT_TERMS = Terms(default_ttl=900_000_000, maximum_ttl=900_000_000, expires_in=86_400_000_000)
"""What an approval gives that says nothing else: leases of 15 minutes, for a day."""


def check(conditions: Conditions, at: int) -> Result[Conditions, Refusal]:
    """The conditions, if they make sense at ``at``. Refusals: ``bad-grant``, ``bad-window``, ``bad-zone``."""
    ends, begins = conditions.expires_at, conditions.not_before
    past = ends is not None and (ends <= at or (begins is not None and ends <= begins))
    if conditions.default_ttl > conditions.maximum_ttl or past:
        return Failure(BAD_GRANT)
    for window in conditions.windows:
        match check_window(window):
            case Failure(refusal):
                return Failure(refusal)
            case _:
                pass
    return Success(conditions)
