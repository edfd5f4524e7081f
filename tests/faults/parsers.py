"""Everything that reads bytes which somebody else may have written: how it is called, and one good input each."""

import base64
import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import attrs
from returns.result import Failure

import ironsecrets
from interpreters.conversions import parse_span
from interpreters.derivation import recovery_key_credential
from interpreters.doors import create_on
from interpreters.dotenv_file import read_env_file
from interpreters.grant_terms import parse_rate
from interpreters.memory_store import MemoryStore
from interpreters.references import parse_reference, parts_of
from interpreters.time_zones import load_window
from ironsecrets.agents import Agents, authenticate
from ironsecrets.at_rest import decode_head, unseal_entry, unseal_snapshot
from ironsecrets.audit import decode_entry
from ironsecrets.checkpoint import parse_verifier_key, verify_checkpoint
from ironsecrets.delivery import parse_delivery, parse_recipient
from ironsecrets.header import decode_header
from ironsecrets.identifiers import parse_secret_name, parse_selector
from ironsecrets.proof_files import check_proof
from ironsecrets.replaying import verify_log
from ironsecrets.schedules import parse_cron
from ironsecrets.snapshot import decode_snapshot, encode_snapshot
from properties.worlds import credential, world


@attrs.frozen
class Parser:
    """``read`` answers with a Result, or None, or raises a VaultError: nothing else may come out of it."""

    name: str
    read: Callable[[bytes], object]
    good: bytes


def _text(raw: bytes) -> str:
    return raw.decode("latin-1")


def answered(parser: Parser, raw: bytes) -> bool:
    """Whether ``raw`` was taken for good. Anything but an answer or a typed error comes through."""
    with suppress(ironsecrets.VaultError):
        match parser.read(raw):
            case Failure(_) | None | False:
                return False
            case _:
                return True
    return False


def parsers() -> list[Parser]:
    """All of them, around one small vault."""
    vault = create_on(MemoryStore(), credential(), world=world())
    operator = vault.operator("olga")
    operator.put("openai/key", "value", environment="production", tags=["a"], description="ü")
    operator.grant("agent_one", "openai/*", environment="production", expires_in=timedelta(days=3), rate="10/1m")
    operator.rotation.set("openai/key", environment="production", every=timedelta(days=3))
    token = operator.enroll("agent_two").bytes()
    engine = vault._engine
    keys, name, state = engine.keys, engine.header.vault, vault.state
    image = engine.store.load()
    assert image is not None
    key = parse_verifier_key(vault.verifier_key()).unwrap()
    note, log = vault.checkpoint(), list(vault.entries())
    signed = verify_checkpoint(note, key).unwrap()
    sealed = [one.sealed for one in engine.store.entries(0)]
    vault.snapshot()
    snapshot = engine.store.load()
    assert snapshot is not None
    assert snapshot.snapshot is not None
    scratch = Path(tempfile.mkdtemp(prefix="ironsecrets-fuzz-")) / "file.env"

    def env_file(raw: bytes) -> object:
        scratch.write_bytes(raw)
        return read_env_file(scratch)

    ic_token = ironsecrets.ICTokens("0123456789abcdef" * 4).issue("agent_researcher", budget="budget_research")
    recipient = "x25519:" + base64.b64encode(bytes(range(32))).decode()
    tokens = ironsecrets.ICTokens("0123456789abcdef" * 4)
    return [
        *(Parser(f"entry {seq}", decode_entry, raw) for seq, raw in enumerate(log)),
        Parser("snapshot", decode_snapshot, encode_snapshot(state)),
        Parser("header", decode_header, image.header),
        Parser("head", lambda raw: decode_head(keys, name, raw), image.head),
        Parser("sealed entry", lambda raw: unseal_entry(keys, name, 1, raw), sealed[1]),
        Parser("sealed snapshot", lambda raw: unseal_snapshot(keys, name, raw), snapshot.snapshot),
        Parser("exported log", lambda raw: verify_log(raw.split(b"\n")[:-1], signed), b"\n".join([*log, b""])),
        Parser("verifier key", lambda raw: parse_verifier_key(_text(raw)), vault.verifier_key().encode()),
        Parser("checkpoint", lambda raw: verify_checkpoint(raw.decode("utf-8", "replace"), key), note.encode()),
        Parser("proof", lambda raw: check_proof(raw.decode("utf-8", "replace"), key), vault.prove(1).encode()),
        Parser(
            "proof since", lambda raw: check_proof(raw.decode("utf-8", "replace"), key), vault.consistency(2).encode()
        ),
        Parser("env file", env_file, b"A=1\nexport B=\"x\\n\"\n# c\nC='\xc3\xbc'\n"),
        Parser("agent token", lambda raw: authenticate(Agents(), _text(raw)), token),
        Parser("IC token", lambda raw: tokens.authorise(_text(raw)), ic_token.bytes()),
        Parser("recovery key", lambda raw: recovery_key_credential(_text(raw)), b"AAAA-BBBB"),
        Parser("delivery", lambda raw: parse_delivery(_text(raw)), json.dumps({"v": 1}).encode()),
        Parser("recipient", lambda raw: parse_recipient(_text(raw)), recipient.encode()),
        Parser("secret name", lambda raw: parse_secret_name(_text(raw)), b"openai/api-key"),
        Parser("selector", lambda raw: parse_selector(_text(raw)), b"openai/**"),
        Parser("duration", lambda raw: parse_span(_text(raw)), b"15m"),
        Parser("rate", lambda raw: parse_rate(_text(raw)), b"10/1m burst 5"),
        Parser(
            "window", lambda raw: load_window(_text(raw), 1_750_000_000_000_000), b"Mon-Fri 08:00-18:00 Europe/Berlin"
        ),
        Parser("cron", lambda raw: parse_cron(_text(raw)), b"0 3 * * MON"),
        Parser("reference", lambda raw: parse_reference(_text(raw)), b"ironsecrets://production/openai/api-key"),
        Parser("template", lambda raw: parts_of(_text(raw)), b"x {{ ironsecrets://production/openai/api-key }} y"),
    ]
