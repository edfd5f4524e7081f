"""Spans and counters for OpenTelemetry, through its API package alone: without it, or without an SDK, nothing happens.

``pip install ironsecrets[opentelemetry]``. Attributes are the command's type and the verdict, never a name or a value.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache
from time import perf_counter
from typing import Any

import attrs
from returns.result import Failure, Result

from ironsecrets.refusals import APPLIED, Refusal

SCOPE = "ironsecrets"


@attrs.frozen
class Instruments:
    """What one process counts and measures."""

    tracer: Any
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
        commands=meter.create_counter("ironsecrets.commands", "{command}", "Commands that were recorded"),
        refusals=meter.create_counter("ironsecrets.refusals", "{command}", "Commands that were refused"),
        seconds=meter.create_histogram("ironsecrets.command.duration", "s", "From asking to durable and answered"),
        together=meter.create_histogram("ironsecrets.commit.commands", "{command}", "Commands that shared a commit"),
    )


@contextmanager
def told(kind: str) -> Generator[Callable[[str], None]]:
    """A span and a duration around one command; what it yields takes the verdict."""
    instruments = _instruments()
    if instruments is None:
        yield _nothing
        return
    verdict, began = "error", perf_counter()

    def decided(said: str) -> None:
        nonlocal verdict
        verdict = said

    with instruments.tracer.start_as_current_span(f"ironsecrets {kind}") as span:
        try:
            yield decided
        finally:
            attributes = {"ironsecrets.command": kind, "ironsecrets.verdict": verdict}
            span.set_attributes(attributes)
            instruments.seconds.record(perf_counter() - began, attributes)
            if verdict != "error":
                instruments.commands.add(1, attributes)
            if verdict not in (APPLIED, "error"):
                instruments.refusals.add(1, attributes)


def verdict_of(answer: Result[Any, Refusal]) -> str:
    """``applied``, or the refusal's code."""
    match answer:
        case Failure(refusal):
            return refusal.code
        case _:
            return APPLIED


def committed(commands: int) -> None:
    """So many commands became durable together."""
    instruments = _instruments()
    if instruments is not None:
        instruments.together.record(commands)


def _nothing(_: str) -> None:
    """Nobody listens."""
