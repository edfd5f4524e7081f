"""``--store module:factory``, and the Hypothesis profiles."""

import importlib
import os
import sys
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings

from interpreters.store import Store
from properties import stores

SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
settings.register_profile("quick", max_examples=15, stateful_step_count=30, deadline=None, suppress_health_check=SLOW)
settings.register_profile("ci", max_examples=120, stateful_step_count=50, deadline=None, suppress_health_check=SLOW)
settings.register_profile("dev", max_examples=200, stateful_step_count=50, deadline=None, suppress_health_check=SLOW)
settings.register_profile("deep", max_examples=5000, stateful_step_count=100, deadline=None, suppress_health_check=SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

SHIPPED: dict[str, Callable[[], Store]] = {"memory": stores.memory, "sqlite": stores.sqlite}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--store", metavar="MODULE:FACTORY", help="run the laws against this store only")


def _named(spec: str) -> Callable[[], Store]:
    module, _, factory = spec.partition(":")
    sys.path.insert(0, os.getcwd())
    return getattr(importlib.import_module(module), factory)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A law that takes ``make_store`` runs once for each store."""
    if "make_store" in metafunc.fixturenames:
        spec = metafunc.config.getoption("--store")
        chosen = {spec: _named(spec)} if spec else SHIPPED
        metafunc.parametrize("make_store", chosen.values(), ids=chosen.keys())
