"""What a store is given: sealed entries and snapshots, and the MACed head. A stolen file shows sizes and counts.

The head states the log's size and frontier under an HMAC, so that someone who can write the file but lacks the
key can neither add an entry nor cut the log without being found at the next open.
"""

import hmac
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated

import attrs
import msgspec
from returns.result import Failure, Result, Success

from ironsecrets.encoding import canonical, decode_canonical, length_prefixed
from ironsecrets.identifiers import Digest, DigestField, RequestId, Size, VaultId
from ironsecrets.keyring import Keys
from ironsecrets.merkle import HASH_BYTES, Frontier
from ironsecrets.refusals import Tampered
from ironsecrets.sealing import SUITE, seal, unseal
from ironsecrets.snapshot import decode_snapshot, encode_snapshot
from ironsecrets.state import VaultState

MAC_BYTES = 32
HEAD_LIMIT = 16 * 1024
TAG_BYTES = 16


@attrs.frozen(kw_only=True)
class _Head:
    frontier: Annotated[tuple[DigestField, ...], msgspec.Meta(max_length=64)]
    size: Size


_DECODER = msgspec.json.Decoder(_Head)


def request_tag(keys: Keys, request: RequestId) -> bytes:
    """Where a request is found in a store: a keyed digest of its id, 16 bytes."""
    return hmac.digest(keys["requests"], request.encode(), "sha256")[:TAG_BYTES]


@lru_cache(maxsize=64)
def _prefix(label: str, vault: VaultId) -> bytes:
    return length_prefixed(label, SUITE, vault)


def _entry_context(vault: VaultId, seq: int) -> bytes:
    return _prefix("ironsecrets/v1/entry", vault) + length_prefixed(seq)


def _snapshot_context(vault: VaultId) -> bytes:
    return _prefix("ironsecrets/v1/snapshot", vault)


def seal_entry(keys: Keys, vault: VaultId, seq: int, entry: bytes, salt: bytes) -> bytes:
    """The entry as a store keeps it, bound to its vault and its place."""
    return seal(keys["entries"], _entry_context(vault, seq), salt, entry)


def unseal_entry(keys: Keys, vault: VaultId, seq: int, sealed: bytes) -> Result[bytes, Tampered]:
    """The inverse of :func:`seal_entry`."""
    return unseal(keys["entries"], _entry_context(vault, seq), sealed, f"entry {seq}").map(bytes)


def seal_snapshot(keys: Keys, state: VaultState, salt: bytes) -> bytes:
    """A snapshot as a store keeps it."""
    return seal(keys["snapshots"], _snapshot_context(state.vault), salt, encode_snapshot(state))


def unseal_snapshot(keys: Keys, vault: VaultId, sealed: bytes) -> Result[VaultState, Tampered]:
    """The inverse of :func:`seal_snapshot`."""
    return unseal(keys["snapshots"], _snapshot_context(vault), sealed, "snapshot").bind(decode_snapshot)


def seal_leaves(keys: Keys, vault: VaultId, start: int, leaves: Sequence[bytes], salt: bytes) -> bytes:
    """The leaf hashes of archived entries, from number ``start`` on, as a store keeps them."""
    context = length_prefixed("ironsecrets/v1/leaves", SUITE, vault, start, start + len(leaves))
    return seal(keys["entries"], context, salt, b"".join(leaves))


def unseal_leaves(keys: Keys, vault: VaultId, start: int, stop: int, sealed: bytes) -> Result[list[bytes], Tampered]:
    """The inverse of :func:`seal_leaves`."""
    what = f"leaf hashes of the archived entries {start} to {stop - 1}"
    if not 0 <= start < stop < 2**53:
        return Failure(Tampered(what))
    context = length_prefixed("ironsecrets/v1/leaves", SUITE, vault, start, stop)

    def cut(raw: bytearray) -> Result[list[bytes], Tampered]:
        if len(raw) != HASH_BYTES * (stop - start):
            return Failure(Tampered(what))
        return Success([bytes(raw[at : at + HASH_BYTES]) for at in range(0, len(raw), HASH_BYTES)])

    return unseal(keys["entries"], context, sealed, what).bind(cut)


def _mac(keys: Keys, vault: VaultId, body: bytes) -> bytes:
    return hmac.digest(keys["log-mac"], _prefix("ironsecrets/v1/head", vault) + length_prefixed(body), "sha256")


def encode_head(keys: Keys, vault: VaultId, log: Frontier) -> bytes:
    """The head: its MAC (32 bytes), then canonical JSON of size and frontier."""
    body = canonical(_Head(frontier=tuple(Digest(h.hex()) for h in log.hashes), size=log.size))
    return _mac(keys, vault, body) + body


def decode_head(keys: Keys, vault: VaultId, raw: bytes) -> Result[Frontier, Tampered]:
    """The inverse of :func:`encode_head`."""
    tag, body = raw[:MAC_BYTES], raw[MAC_BYTES:]
    if not hmac.compare_digest(tag, _mac(keys, vault, body)):
        return Failure(Tampered("log head"))
    match decode_canonical(_DECODER, body, limit=HEAD_LIMIT, what="log head"):
        case Success(head):
            frontier = Frontier(head.size, tuple(bytes.fromhex(h) for h in head.frontier))
            return Success(frontier) if frontier.is_sound() else Failure(Tampered("log head"))
        case _:
            return Failure(Tampered("log head"))
