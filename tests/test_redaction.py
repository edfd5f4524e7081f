"""Redaction: every form of a live value leaves the output, nothing else does, wherever writes are cut."""

import base64
import contextlib
import io
import json
import logging
import sys
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

import ironsecrets
from interpreters.locked_memory import guarded
from interpreters.needles import needles
from interpreters.redaction import Scrubber, scrub, scrub_text
from ironsecrets.sensitive import Sensitive
from tests.conftest import Command, Opener

VALUE = 'sk-proj/ä"b\\c+d e\n1234567890'


@contextlib.contextmanager
def live(value: str | bytes) -> Iterator[Sensitive]:
    """A value as an opened vault would hold it."""
    held = guarded(bytearray(value.encode() if isinstance(value, str) else value))
    try:
        yield held
    finally:
        held.wipe()


FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "json": lambda v: json.dumps({"k": v}),
    "json, not only ascii": lambda v: json.dumps(v, ensure_ascii=False),
    "json, slashes escaped": lambda v: json.dumps(v).replace("/", "\\/"),
    "quote": urllib.parse.quote,
    "quote, whole": lambda v: urllib.parse.quote(v, safe=""),
    "quote_plus": urllib.parse.quote_plus,
    "quote, lower case": lambda v: (
        urllib.parse.quote(v, safe="")
        .replace("%C3%A4", "%c3%a4")
        .replace("%2F", "%2f")
        .replace("%5C", "%5c")
        .replace("%2B", "%2b")
        .replace("%0A", "%0a")
    ),
    "base64": lambda v: base64.b64encode(v.encode()).decode(),
    "base64, url-safe": lambda v: base64.urlsafe_b64encode(v.encode()).decode(),
    "basic auth": lambda v: base64.b64encode(b"u:" + v.encode()).decode(),
    "inside base64": lambda v: base64.b64encode(b"x" + v.encode() + b"yz").decode(),
    "hex": lambda v: v.encode().hex(),
    "HEX": lambda v: v.encode().hex().upper(),
    "crlf": lambda v: v.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("value", [VALUE, "plain-key-1234567890abcdef", "😀 schlüssel 😀 123"])
def test_each_form_is_scrubbed(form: Callable[[str], str], value: str) -> None:
    shown = f"before {form(value)} after"
    with live(value):
        clean = scrub_text(shown)
    assert "[redacted]" in clean
    assert clean.startswith("before ")
    assert clean.endswith(" after")
    # What is left beside the mark is at most what was around the value, and the bits that base64 shares with it.
    rest = clean.removeprefix("before ").removesuffix(" after").replace("[redacted]", "")
    assert len(rest) <= 12, rest
    assert scrub_text(shown) == shown, "a value that was wiped is looked for no more"


def test_no_line_waits_unless_it_could_begin_a_value() -> None:
    with live("sk-proj-abcdef"):
        scrubber = Scrubber()
        assert scrubber.feed(b"Name? ") == b"Name? "
        assert scrubber.feed(b"ask") == b"a", "the rest could be a beginning"
        assert scrubber.pause() == b"sk", "a short one is shown when nothing comes"
        assert scrubber.feed(b"-proj-abcdef!") == b"[redacted]!", "and the value is still found"
        assert scrubber.feed(b"sk-proj-") == b""
        assert scrubber.pause() == b"", "a long one waits"
        assert scrubber.feed(b"other") == b"sk-proj-other"


def test_byte_by_byte_with_pauses_shows_a_beginning_at_most() -> None:
    with live("sk-proj-abcdef"):
        scrubber, out = Scrubber(), b""
        for byte in b"<sk-proj-abcdef>":
            out += scrubber.feed(bytes((byte,))) + scrubber.pause()
        assert out + scrubber.finish() == b"<sk-[redacted]>"


def test_short_values_are_left_alone() -> None:
    with live("abc"):
        assert scrub(b"abc") == b"abc"


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(ironsecrets.RedactingFilter())
    handler.setFormatter(logging.Formatter("%(message)s %(extra_thing)s", defaults={"extra_thing": ""}))
    logger = logging.getLogger("a.logger.that.is.scrubbed")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(handler)
    yield logger, stream
    logger.removeHandler(handler)


class Shows:
    def __repr__(self) -> str:
        return f"<Shows {VALUE}>"


def test_the_logging_filter(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log
    with live(VALUE):
        logger.info("key %s", VALUE)
        logger.info("key %(k)s", {"k": VALUE})
        logger.info("json %s", json.dumps(VALUE))
        logger.info(f"inline {VALUE}")
        logger.info("an object %r", Shows())
        logger.info("with an extra", extra={"extra_thing": {"nested": [VALUE, Shows()]}})
        try:
            raise ValueError(VALUE)
        except ValueError:
            logger.exception("it failed with %s", VALUE, stack_info=True)
        with contextlib.redirect_stderr(stream):
            # `logging` itself reports a message that does not fit its arguments, and shows both.
            logger.info("two %s %s", VALUE)
        logger.info("nothing secret, %d", 7)
    shown = stream.getvalue()
    assert VALUE not in shown
    assert "1234567890" not in shown
    assert shown.count("[redacted]") >= 9
    assert "ValueError: [redacted]" in shown
    assert "nothing secret, 7" in shown


def test_the_structlog_processor() -> None:
    stream = io.StringIO()
    structlog.configure(
        processors=[
            structlog.processors.format_exc_info,
            ironsecrets.redact_event,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    try:
        with live(VALUE):
            logger: Any = structlog.get_logger()
            logger.info("event", key=VALUE, nested={"a": [VALUE, VALUE.encode()]}, thing=Shows(), number=7)
            try:
                raise ValueError(VALUE)
            except ValueError:
                logger.exception("failed")
    finally:
        structlog.reset_defaults()
    shown = stream.getvalue()
    assert "1234567890" not in shown
    assert json.loads(shown.splitlines()[0])["number"] == 7


def test_the_stream_wrapper_of_text_and_bytes() -> None:
    with live(VALUE) as held:
        text = io.StringIO()
        with ironsecrets.RedactingStream(text) as stream, contextlib.redirect_stdout(stream):
            for piece in ("umlaut ä ", VALUE[:5], VALUE[5:11], VALUE[11:], " end"):
                sys.stdout.write(piece)
                sys.stdout.flush()
        assert text.getvalue() == "umlaut ä [redacted] end"
        raw = io.BytesIO()
        with ironsecrets.RedactingStream(raw) as stream:
            stream.write(b"\x00\xff" + VALUE.encode()[:8])
            stream.writelines([VALUE.encode()[8:], b"\xfe"])
        assert raw.getvalue() == b"\x00\xff[redacted]\xfe"
        below = io.TextIOWrapper(io.BytesIO())
        with ironsecrets.RedactingStream(below).buffer as stream:
            stream.write(VALUE.encode())
        assert below.buffer.getvalue() == b"[redacted]"  # pyright: ignore
        assert not held.wiped


def test_forms_are_wiped_with_the_value(opened: Opener) -> None:
    vault = opened()
    operator = vault.operator("o")
    operator.put("k", VALUE, environment="production")
    operator.grant("agent_one", "k", environment="production")
    with vault.acting_for("agent_one").lease("k", environment="production"):
        assert scrub_text(f"<{VALUE}>") == "<[redacted]>"
        forms = [form for _, form in needles()]
        assert len(forms) > 8
    assert not any(any(form) for form in forms)
    assert scrub_text(f"<{VALUE}>") == f"<{VALUE}>"


CHILD = r"""
import base64, json, os, sys, time, urllib.parse
k = os.environ["K"]
print(k, json.dumps(k), urllib.parse.quote(k), base64.b64encode(k.encode()).decode(), flush=True)
sys.stderr.write("on stderr " + k[:9]); sys.stderr.flush(); time.sleep(0.2); sys.stderr.write(k[9:] + " end\n")
sys.stderr.flush()
os.write(1, bytes(range(256)))
sys.exit(7)
"""


def test_run_redacts_both_streams_and_leaves_the_rest(made: Command) -> None:
    made.ok("put", "k", stdin="sk-proj-0123456789abcdef")
    made.ok("grant", "agent_one", "**")
    done = made.run("run", "--agent", "agent_one", "--redact", "--set", "K=k", "--", sys.executable, "-c", CHILD)
    assert done.status == 7, done.error
    assert done.out == b'[redacted] "[redacted]" [redacted] [redacted]\n' + bytes(range(256))
    assert done.err == b"on stderr [redacted] end\n"
    plain = made.run("run", "--agent", "agent_one", "--set", "K=k", "--", "sh", "-c", "printf %s $K")
    assert plain.text == "sk-proj-0123456789abcdef"


def test_run_redacts_much_output_without_losing_a_byte(made: Command) -> None:
    made.ok("put", "k", stdin="sk-proj-0123456789abcdef")
    made.ok("grant", "agent_one", "**")
    child = "import os,sys\nfor n in range(20000): sys.stdout.write(f'{n} {os.environ[\"K\"]}\\n')"
    done = made.run("run", "--agent", "agent_one", "--redact", "--set", "K=k", "--", sys.executable, "-c", child)
    assert done.out == b"".join(b"%d [redacted]\n" % n for n in range(20000))


def test_templates(made: Command, tmp_path: Path) -> None:
    made.ok("put", "openai/api-key", "--env", "production", stdin="sk-live")
    made.ok("put", "db/password", "--env", "staging", stdin="p@ss")
    made.ok("grant", "agent_one", "**", "--env", "production")
    made.ok("grant", "agent_one", "db/*", "--env", "staging")
    template = tmp_path / "app.env"
    template.write_text(
        "# what the app needs\nOPENAI_API_KEY=ironsecrets://production/openai/api-key\n"
        'DATABASE_URL="postgresql://app:{{ ironsecrets://staging/db/password }}@db/{{ironsecrets://production/openai/api-key}}"\n'
        "LOG_LEVEL=debug\nEMPTY=\n"
    )
    show = ("--", "sh", "-c", 'echo "$OPENAI_API_KEY $DATABASE_URL $LOG_LEVEL [$EMPTY]"')
    done = made.ok("run", "--agent", "agent_one", "--template", "app.env", *show)
    assert done.text == "sk-live postgresql://app:p@ss@db/sk-live debug []\n"
    redacted = made.ok("run", "--agent", "agent_one", "--redact", "--template", "app.env", *show)
    assert redacted.text == "[redacted] postgresql://app:[redacted]@db/[redacted] debug []\n"
    for line in (
        "A=ironsecrets://production",
        "A=ironsecrets:///openai/api-key",
        "A=ironsecrets://PROD/openai/api-key",
        "A=x-ironsecrets://production/openai/api-key",
        "A={{ ironsecrets://production/../x }}",
        "A-B=ironsecrets://production/openai/api-key",
    ):
        template.write_text(f"OK=1\n{line}\n")
        error = made.fails(1, "run", "--agent", "agent_one", "--template", "app.env", "--", "true")
        assert "line 2" in error, line
    template.write_text("A=ironsecrets://staging/openai/api-key\n")
    assert "no grant" in made.fails(3, "run", "--agent", "agent_one", "--template", "app.env", "--", "true")
    assert made.fails(7, "run", "--agent", "agent_one", "--template", "missing.env", "--", "true")
