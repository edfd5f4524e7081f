"""The audit log: entries, their canonical bytes, and the one step that decides and records.

An entry is one JSON object, UTF-8, keys sorted, no insignificant whitespace. Its bytes are hashed and stored as
written and are never encoded again; a text that is not the canonical form of an entry is no entry. One line of
the exported JSONL is one leaf of the tree.
"""

from typing import Annotated, Any, Generic, Literal, TypeVar, get_args

import attrs
import msgspec
from returns.result import Failure, Result, Success

from ironsecrets.access import after_refusal
from ironsecrets.effects import Effect
from ironsecrets.encoding import canonical
from ironsecrets.frozen import evolve
from ironsecrets.identifiers import Micros, RequestIdField
from ironsecrets.merkle import leaf_hash
from ironsecrets.principals import PrincipalFields, principal_fields, principal_from
from ironsecrets.refusals import APPLIED, CODE_PATTERN, Refusal
from ironsecrets.state import VaultState
from ironsecrets.vault import Command, Request, apply

ENTRY_LIMIT = 64 * 1024
ENTRY_VERSION = 1

_COMMAND_TYPES: tuple[type[Command], ...] = get_args(Command)


def _tag(kind: type[Command]) -> str:
    return str(attrs.fields_dict(kind)["type"].default)


COMMANDS: dict[str, type[Command]] = {_tag(kind): kind for kind in _COMMAND_TYPES}
"""Every command, by the ``type`` that stands in its entry."""


_C = TypeVar("_C")


@attrs.frozen(kw_only=True)
class _Entry(Generic[_C]):
    at: Micros
    command: _C
    principal: PrincipalFields
    request: RequestIdField
    seq: Annotated[int, msgspec.Meta(ge=0)]
    v: Literal[1] = ENTRY_VERSION
    verdict: Annotated[str, msgspec.Meta(pattern=CODE_PATTERN, max_length=64)]


AuditEntry = _Entry[Command]
"""What was asked, by whom, when, and what was decided: ``applied`` or a refusal's code."""


@attrs.frozen
class _Tagged:
    type: str


@attrs.frozen
class _Envelope:
    command: _Tagged


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_TYPE = b'"type":"'
# msgspec knows no tagged unions of attrs classes: one decoder for the entries of each command.
_DECODERS: dict[bytes, "msgspec.json.Decoder[AuditEntry]"] = {}


def _decoder(tag: bytes) -> "msgspec.json.Decoder[AuditEntry] | None":
    decoder = _DECODERS.get(tag)
    if decoder is None and (kind := COMMANDS.get(tag.decode("ascii", "replace"))) is not None:
        entry: Any = _Entry[kind]
        decoder = _DECODERS[tag] = msgspec.json.Decoder(entry)
    return decoder


def _decoded(raw: bytes) -> AuditEntry | None:
    # The first "type" is the command's, unless something within the command has one: then the envelope says.
    start = raw.find(_TYPE) + len(_TYPE)
    decoder = _decoder(raw[start : raw.find(b'"', start)])
    if decoder is not None:
        try:
            return decoder.decode(raw)
        except msgspec.ValidationError:
            pass
    decoder = _decoder(_ENVELOPE.decode(raw).command.type.encode("ascii", "replace"))
    return None if decoder is None else decoder.decode(raw)


def encode_entry(request: Request, seq: int, verdict: str) -> bytes:
    """The canonical bytes of the entry number ``seq``, counted from 0."""
    return canonical(
        _Entry(
            at=request.at,
            command=request.command,
            principal=principal_fields(request.principal),
            request=request.id,
            seq=seq,
            verdict=verdict,
        )
    )


def decode_entry(raw: bytes) -> Result[AuditEntry, str]:
    """Decode strictly, or say in one line what is wrong (never quoting the bytes).

    Refuses more than 64 KiB, unknown commands and fields, malformed identifiers, duplicate keys, and every text
    that is not canonical.
    """
    read = read_entry(raw)
    return Failure(read) if isinstance(read, str) else Success(read)


def read_entry(raw: bytes) -> AuditEntry | str:
    """:func:`decode_entry` without a ``Result`` around it, for those who read millions."""
    if len(raw) > ENTRY_LIMIT:
        return "the entry is larger than 64 KiB"
    try:
        entry = _decoded(raw)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return "the entry is malformed"
    if entry is None:
        return "the entry holds an unknown command"
    return entry if canonical(entry) == raw else "the entry is not in canonical form"


def request_of(entry: AuditEntry) -> Request | None:
    """The request that an entry records, or None where its principal makes no sense."""
    principal = principal_from(entry.principal)
    if principal is None:
        return None
    return Request(at=entry.at, command=entry.command, id=entry.request, principal=principal)


@attrs.frozen(kw_only=True)
class Decision:
    """A request decided and recorded: the state after it, its entry, and the effects if it was applied."""

    state: VaultState
    entry: bytes
    effects: tuple[Effect, ...]
    refusal: Refusal | None


def settle(state: VaultState, request: Request) -> tuple[VaultState, tuple[Effect, ...], Refusal | None]:
    """The state after ``request``, what it asks of an interpreter, and the refusal where it was refused.

    The one step that deciding and replay share.
    """
    match apply(state, request):
        case Success(transition):
            return transition.state, transition.effects, None
        case Failure(refusal):
            return after_refusal(state, request.at, request.principal, refusal), (), refusal
        case _:
            raise AssertionError


def decide(state: VaultState, request: Request) -> Decision:
    """Apply ``request`` and record it, refused or not. The only way in which a log grows."""
    after, effects, refusal = settle(state, request)
    entry = encode_entry(request, state.log.size, APPLIED if refusal is None else refusal.code)
    return Decision(state=recorded(after, request.at, entry), entry=entry, effects=effects, refusal=refusal)


def recorded(state: VaultState, at: int, entry: bytes) -> VaultState:
    """``state`` with the log's frontier and time moved on by one entry."""
    return evolve(state, log=state.log.append(leaf_hash(entry)), last_at=at)
