"""``strings`` over everything that is left behind: no plaintext, no key, no token; at rest no name either."""

import os
import shutil
from pathlib import Path

from tests.conftest import MASTER_KEY_TEXT, Command

VALUES = ("sk-proj-PlaintextOne1111", "PlaintextTwo-2222-ü", "hunter2-failure-33")
NAMES = (
    "acme-billing",
    "agent_keeper",
    "stagingarea",
    "team:violet",
    "quite-a-description",
    "olga@example.org",
    "openrouter",
)


def strings(folder: Path) -> bytes:
    """What ``strings`` would see in every file below a folder, in UTF-8 and UTF-16."""
    return b"\n".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


def test_nothing_is_left_behind(command: Command, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command.env["TMPDIR"] = str(temporary)
    passphrase = "correct horse battery staple"
    del command.env["IRON_SECRETS_MASTER_KEY"]
    command.env["IRONSECRETS_PASSPHRASE"] = passphrase
    command.ok("--as", "olga@example.org", "init")
    where = ("--env", "stagingarea")
    tokens = []
    for number, value in enumerate(VALUES):
        name = f"acme-billing/key-{number}"
        about = ("--tag", "team:violet", "--description", "quite-a-description", "--provider", "openrouter")
        command.ok("--as", "olga@example.org", "put", name, *where, *about, stdin=value)
        command.ok("get", name, *where)
    command.ok("grant", "agent_keeper", "acme-billing/*", *where)
    tokens.append(command.ok("agent", "add", "agent_keeper").text.strip())
    command.history = command.history.replace(tokens[0].encode(), b"shown once")
    command.ok("run", "--agent", "agent_keeper", *where, "--", "true")
    command.run("run", "--agent", "agent_other", *where, "--set", "K=acme-billing/key-0", "--", "true")
    command.run("get", "acme-billing/none", *where)
    command.run("put", "bad name", stdin=VALUES[0])
    command.run("put", "k", VALUES[1])
    command.run("list", env={"IRONSECRETS_PASSPHRASE": "wrong " + passphrase[:3]})
    command.ok("audit", "verify")
    # What SQLite holds while it is open: a copy of the file and its WAL, taken under a writer's feet.
    import ironsecrets

    copy = tmp_path / "copy"
    copy.mkdir()
    with ironsecrets.open_vault(command.folder / "test.vault", passphrase=passphrase) as vault:
        vault.operator("olga@example.org").put("acme-billing/key-0", VALUES[0], environment="stagingarea")
        vault.snapshot()
        root_bits = [bytes(vault._engine.keys[label]) for label in ("entries", "log-mac", "snapshots")]
        for suffix in ("", "-wal", "-shm"):
            shutil.copy(f"{command.folder / 'test.vault'}{suffix}", copy)
        assert (copy / "test.vault-wal").stat().st_size > 0
    command.ok("audit", "export", "out")
    everything = strings(command.folder) + strings(temporary) + command.history
    for hidden in (*VALUES, passphrase, MASTER_KEY_TEXT, *tokens, tokens[0].split("_")[2]):
        for spelling in (hidden.encode(), hidden.encode("utf-16-le"), hidden.encode().hex().encode()):
            assert spelling not in everything, hidden
    for key in root_bits:
        assert key not in everything
        assert key.hex().encode() not in everything
    shutil.rmtree(command.folder / "out")
    at_rest = strings(copy) + (command.folder / "test.vault").read_bytes()
    for name in (*NAMES, "key-0", "stagingarea", "agent_other"):
        assert name.encode() not in at_rest, name
    assert os.listdir(temporary) == []
