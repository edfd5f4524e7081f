"""OpenTelemetry sees kinds, verdicts and times, and never a name or a value."""

import sys
from pathlib import Path

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import ironsecrets
from interpreters import telemetry
from tests.conftest import Opener


def test_spans_and_counters(path: Path, opened: Opener) -> None:
    reader, exporter = InMemoryMetricReader(), InMemorySpanExporter()
    metrics.set_meter_provider(MeterProvider(metric_readers=[reader]))
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    telemetry._instruments.cache_clear()
    vault = opened()
    vault.operator("olga").put("openai/secret-name", "sk-secret-value", environment="production")
    with pytest.raises(ironsecrets.Refused):
        vault.acting_for("agent_one").lease("openai/secret-name", environment="production")
    vault.operator("olga").rotate_key()
    spans = exporter.get_finished_spans()
    told = [(span.name, dict(span.attributes or {})["ironsecrets.verdict"]) for span in spans]
    assert told[:2] == [("ironsecrets NewVersion", "applied"), ("ironsecrets NewLease", "unknown-agent")]
    assert {("ironsecrets maintenance", "applied")} == set(told[2:])
    data = reader.get_metrics_data()
    assert data is not None
    found = {
        metric.name: sum(getattr(point, "value", getattr(point, "count", 0)) for point in metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert found["ironsecrets.commands"] == len(spans)
    assert found["ironsecrets.refusals"] == 1
    assert found["ironsecrets.command.duration"] == len(spans)
    assert "secret" not in f"{[span.to_json() for span in spans]}{data.to_json()}".replace("ironsecrets", "")


def test_without_the_package_nothing_happens(path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    telemetry._instruments.cache_clear()
    assert opened().operator("o").put("a", "x", environment="production") == 1
    telemetry._instruments.cache_clear()
