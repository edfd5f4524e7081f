"""Law 8: no plaintext, key or token appears in a repr, an exception, a log record, a stored byte or an export."""

import base64
import copy
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from returns.result import Failure, Success

from interpreters.sinks import LoggingSink
from interpreters.store import Store
from ironsecrets.drafts import NewVersion
from ironsecrets.errors import Refused
from ironsecrets.refusals import Refusal
from ironsecrets.sensitive import Sensitive
from properties import strategies as s
from properties.worlds import MASTER_KEY, new_vault

secrets = st.binary(min_size=12, max_size=40).filter(lambda b: len(set(b)) > 6)


def spellings(value: bytes) -> list[bytes]:
    """How a value could be written down."""
    return [value, value.hex().encode(), base64.b64encode(value).rstrip(b"="), repr(value).encode()[2:-1]]


def shows(haystack: bytes, value: bytes) -> bool:
    return any(spelling in haystack for spelling in spellings(value))


@given(secrets)
def test_sensitive_values_do_not_show_themselves(value: bytes) -> None:
    held = Sensitive(value)
    draft = NewVersion(name=s.NAMES[0], environment=s.ENVIRONMENTS[0], value=held)
    for told in (repr(held), str(held), f"{held}", f"{held:>40}", repr(draft), repr(Success(draft)), repr([held])):
        assert not shows(told.encode(), value)
        assert not shows(told.encode("unicode_escape"), value)
    for refused in (pickle.dumps, copy.copy, copy.deepcopy, hash, json.dumps):
        with pytest.raises(TypeError):
            refused(held)  # pyright: ignore[reportArgumentType, reportCallIssue]
    assert not shows(repr(attrs.asdict(draft)).encode(), value)
    assert held == Sensitive(value)
    assert held == value
    assert held != value + b"x"
    held.wipe()
    assert held.bytes() == bytes(len(value))


def boom(held: Sensitive) -> None:
    local = Success(held)
    raise Refused(Refusal("no-grant", f"about {local}"))


@given(secrets)
def test_tracebacks_with_locals_stay_silent(value: bytes) -> None:
    try:
        boom(Sensitive(value))
    except Refused as error:
        told = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()).encode()
        frames = told.split(b"in boom", 1)[1]
        assert not shows(frames, value)


@given(value=secrets, failing=st.booleans())
def test_nothing_stored_logged_or_exported_shows_a_value(
    make_store: Callable[[], Store], value: bytes, failing: bool
) -> None:
    store = make_store()
    vault = new_vault(store)
    operator = vault.operator("olga")
    records: list[logging.LogRecord] = []
    operator.put("openai/key", value, environment="production", description="say nothing", tags=["t:1"])
    token = operator.enroll("agent_one").bytes()
    operator.grant("agent_one", "openai/*", environment="production")
    agent = vault.agent(token.decode())
    errors: list[Any] = [None]
    with agent.lease("openai/key", environment="production") as lease:
        assert lease.bytes() == value
        told = [repr(lease), repr(agent), repr(vault), repr(vault.state)]
    with operator.reveal("openai/key", environment="production") as read:
        told.append(repr(read))
    told.append(operator.masked("openai/key", environment="production"))
    for name in ("openai/none", "openai/key"):
        match vault.execute(
            s.VIEWER, NewVersion(name=s.SecretName(name), environment=s.ENVIRONMENTS[0], value=Sensitive(value))
        ):
            case Failure(refusal):
                errors.append(refusal)
            case _:
                raise AssertionError
    sink = LoggingSink(logging.Logger("sink"))
    sink._logger.addHandler(_Keeper(records))  # pyright: ignore[reportPrivateUsage]
    entries = list(vault.entries())
    sink.deliver(0, entries)
    vault.snapshot()
    image = store.load()
    assert image is not None
    stored = [image.header, image.header_mac, image.head, image.snapshot or b""]
    stored += [entry.tag + entry.sealed for entry in store.entries(0)]
    stored += [record.wrap + record.body for record in store.records()]
    everything = b"\n".join(
        [*(text.encode() for text in told), *stored, *entries, repr(errors).encode()]
        + [repr(vars(record)).encode() for record in records]
        + [vault.checkpoint().encode(), vault.verifier_key().encode()]
    )
    for hidden in (value, token, MASTER_KEY):
        assert not shows(everything, hidden)
    at_rest = b"\n".join(stored)
    for name in (b"openai", b"agent_one", b"production", b"say nothing", b"t:1", b"olga"):
        assert name not in at_rest
    vault.close()


class _Keeper(logging.Handler):
    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self.records = records

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
