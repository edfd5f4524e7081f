"""The house's rules, proved by breaking them: each breach fails a check that CI runs."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent


def checked(folder: Path) -> int:
    """What CI's import contract and lint say of the tree in ``folder``."""
    linted = subprocess.run(
        [str(BIN / "lint-imports"), "--no-cache"], cwd=folder, capture_output=True, env={"PYTHONPATH": str(folder)}
    )
    ruff = subprocess.run(
        [str(BIN / "ruff"), "check", "--no-cache", "-q", "ironsecrets"], cwd=folder, capture_output=True
    )
    return linted.returncode or ruff.returncode


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("ironsecrets", "interpreters", "properties"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_tree_as_it_is_keeps_the_contract(tree: Path) -> None:
    assert checked(tree) == 0


@pytest.mark.parametrize(
    "breach",
    [
        "import os\n\nHOME = os.environ",
        "import time\n\nNOW = time.time()",
        "import random\n\nDICE = random.random()",
        "import secrets\n\nTOKEN = secrets.token_hex()",
        "import socket\n\nHOST = socket.gethostname()",
        "import pathlib\n\nHERE = pathlib.Path()",
        "import logging\n\nlogging.info('x')",
        "import threading\n\nLOCK = threading.Lock()",
        "import apsw\n\nVERSION = apsw.apsw_version()",
        "import interpreters.world\n\nCLOCK = interpreters.world.SystemClock()",
        "import datetime\n\nNOW = datetime.datetime.now(datetime.UTC)",
        "from datetime import UTC, datetime\n\nNOW = datetime.now(UTC)",
        "TEXT = open('/etc/hostname').read()",
        "print('hello')",
    ],
    ids=lambda breach: breach.splitlines()[0],
)
def test_each_breach_is_caught(tree: Path, breach: str) -> None:
    (tree / "ironsecrets" / "breach.py").write_text(f'"""A breach."""\n\n{breach}\n')
    assert checked(tree) != 0


def test_only_what_the_design_names_stands_at_the_top() -> None:
    allowed = {"pyproject.toml", "README.md", "LICENSE", "ironsecrets", "interpreters", "properties", "tests", "docs"}
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 0:
        tops = {line.split("/")[0] for line in done.stdout.splitlines()}
        assert {top for top in tops if not top.startswith(".")} <= allowed


def test_importing_the_package_touches_nothing_of_the_world() -> None:
    heavy = {"apsw", "argon2", "asyncio", "attrs", "click", "jwt", "rich"}
    program = f"import sys, ironsecrets; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_every_refusal_has_its_own_code_and_line() -> None:
    from ironsecrets import catalogue
    from ironsecrets.refusals import Refusal

    every = [v for module in catalogue._MODULES for v in vars(module).values() if isinstance(v, Refusal)]
    assert len({(r.code, r.message) for r in every}) == len({r.code for r in every})
    assert all(r.message and "\n" not in r.message for r in every)


def test_every_name_of_the_front_door_is_there() -> None:
    import ironsecrets

    for name in ironsecrets.__all__:
        assert getattr(ironsecrets, name) is not None
        assert getattr(ironsecrets, name).__doc__, name
    with pytest.raises(AttributeError):
        ironsecrets.nothing  # noqa: B018
    assert set(ironsecrets.__all__) == set(ironsecrets._DOORS)
    # Importing a module sets its name on the package: a public name of that kind would become the module.
    modules = {file.stem for file in Path(ironsecrets.__file__).parent.glob("*.py")}
    assert not modules & set(ironsecrets.__all__)
