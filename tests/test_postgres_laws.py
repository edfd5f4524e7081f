"""Every law of ``properties/``, against a real PostgreSQL: as whoever writes a store of his own runs them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(3600)
def test_the_laws_hold_in_postgresql() -> None:
    profile = "ci" if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else "quick"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n0", "properties", "--store", "tests.postgres:factory"],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "HYPOTHESIS_PROFILE": profile},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert " passed" in done.stdout.splitlines()[-1]
