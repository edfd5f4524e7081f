"""A changed copy of a frozen value. Every transition makes some, so what one costs is what replay costs."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, TypeVar

import attrs

_T = TypeVar("_T")
_Put = Callable[[object, object], None]


@attrs.frozen
class _Plan:
    read: Callable[[object], tuple[object, ...]]
    write: tuple[_Put, ...]
    named: dict[str, _Put]


_PLANS: dict[type, _Plan] = {}


def _planned(kind: type) -> _Plan:
    names = tuple(field.name for field in attrs.fields(kind))
    read = attrgetter(*names)
    named: dict[str, _Put] = {name: getattr(kind, name).__set__ for name in names}
    plan = _Plan(
        read=read if len(names) > 1 else lambda value: (read(value),), write=tuple(named.values()), named=named
    )
    _PLANS[kind] = plan
    return plan


def evolve(value: _T, **changes: Any) -> _T:
    """``attrs.evolve`` for slotted values whose fields have no validators or converters, in half the time.

    It copies slots as they are and runs no ``__init__``. A name that is no field raises ``KeyError``.
    """
    kind = value.__class__
    plan = _PLANS.get(kind) or _planned(kind)
    made = object.__new__(kind)
    for write, field in zip(plan.write, plan.read(value), strict=True):
        write(made, field)
    for name, field in changes.items():
        plan.named[name](made, field)
    return made
