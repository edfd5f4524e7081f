"""Spans and counters for OpenTelemetry, through its API package alone: without it, or without an SDK, nothing happens.

``pip install ironsecrets[opentelemetry]``. Attributes are the command's type and the verdict, never a name or a value.
"""

from collections.abc import Callable
from functools import cache
from time import perf_counter
from types import TracebackType
from typing import Any

import attrs
from returns.result import Failure, Result

from ironsecrets.refusals import APPLIED, Refusal

SCOPE = "ironsecrets"


@attrs.frozen
class Instruments:
    """What one process counts and measures."""

    tracer: Any
    traced: Callable[[], bool]
    """Whether anybody takes spans: making one for nobody costs as much as deciding."""
    commands: Any
    refusals: Any
    seconds: Any
    together: Any


@cache
def _instruments() -> Instruments | None:
    try:
        from opentelemetry import metrics, trace
    except ImportError:
        return None
    meter = metrics.get_meter(SCOPE)
    return Instruments(
        tracer=trace.get_tracer(SCOPE),
        traced=lambda: not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider),
        commands=meter.create_counter("ironsecrets.commands", "{command}", "Commands that were recorded"),
        refusals=meter.create_counter("ironsecrets.refusals", "{command}", "Commands that were refused"),
        seconds=meter.create_histogram("ironsecrets.command.duration", "s", "From asking to durable and answered"),
        together=meter.create_histogram("ironsecrets.commit.commands", "{command}", "Commands that shared a commit"),
    )


class told:
    """A ``with`` that makes a span and a duration of one command; :meth:`decided` is told its verdict.

    A class, since every command goes through one: a generator costs three times as much.
    """

    __slots__ = ("_began", "_entered", "_instruments", "_kind", "_span", "_verdict")

    def __init__(self, kind: str) -> None:
        self._kind, self._verdict, self._span = kind, "error", None
        self._instruments = _instruments()

    def __enter__(self) -> "told":
        if self._instruments is not None:
            self._began = perf_counter()
            if self._instruments.traced():
                self._span = self._instruments.tracer.start_as_current_span(f"ironsecrets {self._kind}")
                self._entered = self._span.__enter__()
        return self

    def decided(self, answer: Result[Any, Refusal]) -> None:
        """What was decided: ``applied``, or the refusal's code."""
        if self._instruments is not None:
            self._verdict = answer.failure().code if isinstance(answer, Failure) else APPLIED

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        instruments = self._instruments
        if instruments is None:
            return
        attributes = {"ironsecrets.command": self._kind, "ironsecrets.verdict": self._verdict}
        instruments.seconds.record(perf_counter() - self._began, attributes)
        if self._verdict != "error":
            instruments.commands.add(1, attributes)
        if self._verdict not in (APPLIED, "error"):
            instruments.refusals.add(1, attributes)
        if self._span is not None:
            self._entered.set_attributes(attributes)
            self._span.__exit__(kind, error, trace)


def committed(commands: int) -> None:
    """So many commands became durable together."""
    instruments = _instruments()
    if instruments is not None:
        instruments.together.record(commands)
