"""What the README and the docs say is true: examples run, commands exist, tables are complete."""

import re
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from ironsecrets.audit import COMMANDS
from ironsecrets.principals import MATRIX
from tests.conftest import Command

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_python_examples_run(tmp_path: Path) -> None:
    examples = [block for block in blocks("python") if not block.startswith("# mirror.py")]
    assert len(examples) == 4
    for example in examples:
        subprocess.run([sys.executable, "-W", "error", "-c", example], cwd=tmp_path, check=True, timeout=60)


def laws(folder: Path, store: str, *more: str, profile: str = "ci") -> "subprocess.CompletedProcess[bytes]":
    """The harness, run as the README says, against a store in a module of ``folder``."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "properties", "--store", store, "-n0", "-vv", "-p", "no:cacheprovider", *more],
        cwd=ROOT,
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin", "HYPOTHESIS_PROFILE": profile},
        capture_output=True,
    )


def test_somebody_elses_store_passes_the_laws(tmp_path: Path) -> None:
    (example,) = [block for block in blocks("python") if block.startswith("# mirror.py")]
    assert len([line for line in example.splitlines() if line.strip()]) <= 21
    (tmp_path / "mirror.py").write_text(example)
    done = laws(tmp_path, "mirror:factory", profile="quick")
    assert done.returncode == 0, done.stdout.decode()
    for law in ("agree", "keeps_what", "observationally_equal", "shows_a_value"):
        assert re.search(rf"{law}.*\[mirror:factory\] PASSED", done.stdout.decode()), law
    assert b"[sqlite]" not in done.stdout


def test_a_store_that_breaks_its_promise_fails_the_laws(tmp_path: Path) -> None:
    """The negative control: a store that ignores the expected size, and one that loses an erasure."""
    for name, body in {
        "careless": "size = len(self._entries)\n        return super().commit(attrs.evolve(batch, expected_size=size))",
        "hoarding": "return super().commit(attrs.evolve(batch, erase=()))",
        "forgetful": "return super().commit(attrs.evolve(batch, snapshot=None))",
    }.items():
        (tmp_path / f"{name}.py").write_text(
            "import attrs\nfrom interpreters.memory_store import MemoryStore\n\n\nclass Bad(MemoryStore):\n"
            f"    def commit(self, batch):\n        {body}\n"
        )
        done = laws(tmp_path, f"{name}:Bad", "-k", "keeps_what")
        assert done.returncode == 1, (name, done.stdout.decode())


def test_the_commands_it_shows_exist(command: Command) -> None:
    for line in blocks("console")[0].splitlines():
        words = line.removeprefix("$ ").split()
        if words[0] == "ironsecrets":
            names = words[1:3] if words[1] in ("audit", "rotation", "request") else words[1:2]
            assert command.run(*names, "--help").status == 0, line


def test_links_lead_somewhere() -> None:
    for file in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", file.read_text()):
            assert (file.parent / target).exists(), (file, target)


@pytest.mark.parametrize("tag", COMMANDS)
def test_the_format_page_lists_every_command(tag: str) -> None:
    fields = ", ".join(f"`{field.name}`" for field in attrs.fields(COMMANDS[tag]) if field.name != "type") or "none"
    row = f"| `{tag}` | {fields} | {', '.join(sorted(MATRIX[tag]))} |"
    assert row in (ROOT / "docs" / "format.md").read_text()


def test_the_readme_has_its_figures() -> None:
    assert "FIGURES" not in README
