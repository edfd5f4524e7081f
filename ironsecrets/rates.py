"""Rate limits by GCRA, the generic cell rate algorithm (ITU-T I.371, annex A): the whole state is one moment.

``tat``, the theoretical arrival time, is when the next use would come if uses came evenly. A use conforms when it
is at most ``burst - 1`` intervals early. That is a token bucket of ``burst`` tokens that gains one per interval.
"""

from typing import Annotated

import attrs
import msgspec

from ironsecrets.refusals import Refusal

BAD_RATE = Refusal(
    "bad-rate", "a rate is a number and a time, such as 10/1m or '100/1h burst 5'; the time is 366 days at most"
)

RATE_COUNT = 1_000_000
RATE_BURST = 10_000
RATE_PER = 366 * 86_400_000_000

Per = Annotated[int, msgspec.Meta(ge=1, le=RATE_PER)]
"""A length of time in microseconds, up to 366 days."""
Tat = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
"""A theoretical arrival time: a moment in microseconds that may lie beyond the year 9999."""


@attrs.frozen(kw_only=True)
class Rate:
    """``count`` uses in every ``per`` microseconds (up to a year), evenly, of which ``burst`` may come at once."""

    burst: Annotated[int, msgspec.Meta(ge=1, le=RATE_BURST)]
    count: Annotated[int, msgspec.Meta(ge=1, le=RATE_COUNT)]
    per: Per

    def interval(self) -> int:
        """Microseconds from one use to the next, rounded up so that no rate is ever exceeded."""
        return -(-self.per // self.count)


def conforms(rate: Rate | None, tat: int, at: int) -> bool:
    """Whether one more use at ``at`` keeps the rate. None is no limit."""
    return rate is None or at >= tat - (rate.burst - 1) * rate.interval()


def counted(rate: Rate | None, tat: int, at: int) -> int:
    """The theoretical arrival time after a use at ``at``."""
    return tat if rate is None else max(tat, at) + rate.interval()
