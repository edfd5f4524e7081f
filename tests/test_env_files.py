"""A real ``.env``."""

import json
from pathlib import Path

import pytest

from interpreters.dotenv_file import read_env_file
from ironsecrets.errors import VaultError
from tests.conftest import Command

REAL = """\
# Provider keys
OPENAI_API_KEY=sk-proj-abc   # trailing comment
export ANTHROPIC_API_KEY='sk-ant-#not-a-comment'
EMPTY=
SPACED = "  kept  "
QUOTED="say \\"hi\\"\\tand\\nnew line"
SINGLE='raw \\n stays $HOME ${HOME}'
DATABASE_URL=postgres://u:p@h/db?a=b&c=d==
PEM="-----BEGIN KEY-----
line one
line two
-----END KEY-----"

# again
OPENAI_API_KEY=sk-proj-last
NO_VALUE
UNICODE="größe ✓"
DOLLAR=a$b${c}
"""
EXPECTED = {
    "ANTHROPIC_API_KEY": "sk-ant-#not-a-comment",
    "EMPTY": "",
    "SPACED": "  kept  ",
    "QUOTED": 'say "hi"\tand\nnew line',
    "SINGLE": "raw \\n stays $HOME ${HOME}",
    "DATABASE_URL": "postgres://u:p@h/db?a=b&c=d==",
    "PEM": "-----BEGIN KEY-----\nline one\nline two\n-----END KEY-----",
    "OPENAI_API_KEY": "sk-proj-last",
    "UNICODE": "größe ✓",
    "DOLLAR": "a$b${c}",
}


def test_a_real_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(REAL)
    read = read_env_file(tmp_path / ".env")
    assert {v.key: v.value for v in read.variables} == EXPECTED
    assert [w for w in read.warnings if "OPENAI_API_KEY stands twice" in w] == [
        "line 15: OPENAI_API_KEY stands twice; the last one wins"
    ]
    assert "line 16: a name without a value is left out" in read.warnings
    assert "sk-proj" not in repr(read)


def test_an_unquoted_key_over_lines_is_not_repeated(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PEM=-----BEGIN KEY-----\nMIIEvQIBADANBgkq\n-----END KEY-----\n")
    with pytest.raises(VaultError, match="line 3") as caught:
        read_env_file(tmp_path / ".env")
    (tmp_path / ".env").write_text("PEM=start\nMIIEvQIBADANBgkq\n")
    told = [str(caught.value), *read_env_file(tmp_path / ".env").warnings]
    assert not [line for line in told if "MIIE" in line or "BEGIN" in line]


def test_crlf_and_bom(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfA=1\r\nexport B='two'\r\n# c\r\nC=\"x\ny\"\r\n")
    read = read_env_file(tmp_path / ".env")
    assert {v.key: v.value for v in read.variables} == {"A": "1", "B": "two", "C": "x\ny"}


@pytest.mark.parametrize("bad", [b"GOOD=1\n=nothing\n", b"GOOD=1\nA B C\n", b"GOOD=1\nQ='open\n"])
def test_a_line_that_is_no_assignment_refuses_the_file(tmp_path: Path, bad: bytes) -> None:
    (tmp_path / ".env").write_bytes(bad)
    with pytest.raises(VaultError, match=r"line 2: .*nothing was imported"):
        read_env_file(tmp_path / ".env")


def test_import(made: Command) -> None:
    (made.folder / ".env").write_text(REAL)
    done = made.ok("import", ".env", "--env", "production", "--prefix", "billing")
    assert "imported 10 secrets" in done.text
    assert done.error.count("warning: ") == 2
    for key, value in EXPECTED.items():
        assert made.ok("get", f"billing/{key}", "--env", "production", "--reveal").out == value.encode()
    made.ok("grant", "agent_one", "billing/*", "--env", "production")
    child = ("run", "--agent", "agent_one", "--env", "production", "--", "sh", "-c", 'printf %s "$PEM"')
    assert made.ok(*child).text == EXPECTED["PEM"]


def test_a_file_that_cannot_be_imported_changes_nothing(made: Command) -> None:
    for name, content in {"binary": b"A=\xff\xfe", "odd": b"GOOD=1\n'bad name'=2\n", "broken": b"GOOD=1\n=x\n"}.items():
        (made.folder / name).write_bytes(content)
        assert made.run("import", name).status in (1, 3)
    assert "cannot be read" in made.fails(7, "import", "missing.env")
    assert json.loads(made.ok("list", "--json").text) == []
