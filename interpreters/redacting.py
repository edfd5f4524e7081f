"""Redaction where output is made: ``logging``, structlog, and any stream."""

import codecs
import io
import logging
from collections.abc import Callable, MutableMapping
from typing import Any, TypeVar, cast

from interpreters.needles import Needle, needles
from interpreters.redaction import Scrubber, scrub, scrub_text

_T = TypeVar("_T")
_PLAIN = (int, float, complex, type(None))
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def redacted(found: Any, wanted: list[Needle] | None = None) -> Any:
    """``found`` without any live value: texts and bytes scrubbed, containers made anew, and an object whose ``repr``
    shows a value replaced by that ``repr``, scrubbed."""
    wanted = needles() if wanted is None else wanted
    match found:
        case str():
            return scrub_text(found, wanted)
        case bytes():
            return scrub(found, wanted)
        case dict():
            return {redacted(k, wanted): redacted(v, wanted) for k, v in cast("dict[Any, Any]", found).items()}
        case list() | tuple():
            made = [redacted(one, wanted) for one in cast("list[Any]", found)]
            return made if isinstance(found, list) else tuple(made)
        case _ if isinstance(found, _PLAIN):
            return found
        case _:
            shown = repr(found)
            clean = scrub_text(shown, wanted)
            return found if clean == shown else clean


class RedactingFilter(logging.Filter):
    """A :class:`logging.Filter` that scrubs every live value from a record: message, arguments, exception, stack and
    extras. Put it on handlers: a logger's filters do not see what its children log."""

    def filter(self, record: logging.LogRecord) -> bool:
        wanted = needles()
        if not wanted:
            return True
        try:
            message = record.getMessage()
        except Exception:
            # `logging` would print message and arguments as they are.
            record.msg, record.args = redacted(str(record.msg), wanted), None
        else:
            clean = scrub_text(message, wanted)
            if clean != message:
                record.msg, record.args = clean, None
        if record.exc_info and record.exc_text is None:
            shown = logging.Formatter().formatException(record.exc_info)
            clean = scrub_text(shown, wanted)
            if clean != shown:
                record.exc_text, record.exc_info = clean, None
        if record.exc_text is not None:
            record.exc_text = scrub_text(record.exc_text, wanted)
        if record.stack_info is not None:
            record.stack_info = scrub_text(record.stack_info, wanted)
        for name, extra in list(vars(record).items()):
            if name not in _STANDARD:
                setattr(record, name, redacted(extra, wanted))
        return True


def redact_event(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor that scrubs every live value. Put it last, just before what renders."""
    wanted = needles()
    return {name: redacted(value, wanted) for name, value in event.items()} if wanted else event


class RedactingStream:
    """A stream, text or binary, that scrubs every live value from what is written, also split across writes.

    The end of what was written is held back as far as it could be the beginning of a value; :meth:`finish`, which
    leaving a ``with`` calls, lets it out. Everything else is the wrapped stream's.
    """

    def __init__(self, stream: Any, *, wanted: Callable[[], list[Needle]] = needles) -> None:
        self._stream = stream
        self._wanted = wanted
        self._scrubber = Scrubber(wanted)
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._text = isinstance(stream, io.TextIOBase) or not isinstance(stream, io.RawIOBase | io.BufferedIOBase)

    def write(self, data: Any) -> int:
        """As of the wrapped stream; says that everything was written."""
        raw = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else bytes(data)
        self._pass_on(self._scrubber.feed(raw), as_text=isinstance(data, str))
        return len(data)

    def writelines(self, lines: Any) -> None:
        """Each in turn."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Lets out what may leave, and flushes. A beginning of more than a few bytes stays held back."""
        self._pass_on(self._scrubber.pause(), as_text=self._text)
        self._stream.flush()

    def finish(self) -> None:
        """Nothing more will be written: let out the rest. The wrapped stream stays open."""
        self._pass_on(self._scrubber.finish(), as_text=self._text)
        self._stream.flush()

    def _pass_on(self, done: bytes, *, as_text: bool) -> None:
        if done:
            self._stream.write(self._decoder.decode(done) if as_text else done)

    @property
    def buffer(self) -> "RedactingStream":
        """The binary stream below a text stream, scrubbed as well."""
        return RedactingStream(self._stream.buffer, wanted=self._wanted)

    def __enter__(self) -> "RedactingStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
