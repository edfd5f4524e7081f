"""The Python blocks of the docs run, one after the other, with a local server in the provider's place."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.provider import Provider

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "```python" in page.read_text())


def test_there_are_examples() -> None:
    assert [page.name for page in PAGES] == ["clients.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path, provider: Provider) -> None:
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    environment = os.environ | {
        "OPENAI_BASE_URL": provider.url,
        "ANTHROPIC_BASE_URL": provider.url,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert len(provider.seen) >= 8
    assert all(key.startswith("sk-") for key in provider.given_keys()), "each request had its key"
    assert "0123456789abcdef" not in done.stdout + done.stderr
