"""Proofs that anybody with the verifier key can check, without the vault.

That an entry is in the log: a C2SP ``tlog-proof``, with the entry itself as its extra data. That one checkpoint
continues another (RFC 9162 section 2.1.4): the same form under a name of our own, since C2SP has none for it.

    c2sp.org/tlog-proof@v1              ironsecrets/consistency@v1
    extra <base64 of the entry>         <base64 hash>
    index <number, from 0>              ...
    <base64 hash>
    ...                                 <the older checkpoint>

    <checkpoint>                        <the newer checkpoint>
"""

import re
from collections.abc import Sequence

import attrs
from returns.result import Failure, Result, Success

from ironsecrets.audit import AuditEntry, decode_entry
from ironsecrets.checkpoint import Checkpoint, VerifierKey, verify_checkpoint
from ironsecrets.encoding import from_base64, to_base64
from ironsecrets.merkle import leaf_hash, verify_consistency, verify_inclusion
from ironsecrets.refusals import Refusal

INCLUSION = "c2sp.org/tlog-proof@v1"
CONSISTENCY = "ironsecrets/consistency@v1"
PROOF_LIMIT = 256 * 1024

BAD_PROOF_FILE = Refusal("bad-proof-file", "that is not a well-formed proof")

_HASHES = r"((?:[A-Za-z0-9+/]{43}=\n){0,64})"
_INCLUSION = re.compile(
    rf"{re.escape(INCLUSION)}\nextra ([A-Za-z0-9+/]+={{0,2}})\nindex (0|[1-9][0-9]{{0,15}})\n{_HASHES}\n(.+)", re.DOTALL
)
_CONSISTENCY = re.compile(rf"{re.escape(CONSISTENCY)}\n{_HASHES}\n(.+?\n\n(?:— [^\n]+\n)+)\n(.+)", re.DOTALL)


@attrs.frozen(kw_only=True)
class Included:
    """What an inclusion proof shows: this entry stands at its number in the log of this checkpoint."""

    entry: AuditEntry
    checkpoint: Checkpoint


@attrs.frozen(kw_only=True)
class Continued:
    """What a consistency proof shows: ``newer`` has every entry of ``older``, unchanged, and more after them."""

    older: Checkpoint
    newer: Checkpoint


def inclusion_file(*, entry: bytes, index: int, proof: Sequence[bytes], note: str) -> str:
    """The text of an inclusion proof; ``note`` is a signed checkpoint."""
    return f"{INCLUSION}\nextra {to_base64(entry)}\nindex {index}\n{_lines(proof)}\n{note}"


def consistency_file(*, proof: Sequence[bytes], older: str, newer: str) -> str:
    """The text of a consistency proof between two signed checkpoints."""
    return f"{CONSISTENCY}\n{_lines(proof)}\n{older}\n{newer}"


def _lines(proof: Sequence[bytes]) -> str:
    return "".join(f"{to_base64(one)}\n" for one in proof)


def _hashes(lines: str) -> tuple[bytes, ...] | None:
    read = [from_base64(line).value_or(None) for line in lines.splitlines()]
    found = tuple(one for one in read if one is not None)
    return found if len(found) == len(read) else None


def check_proof(text: str, key: VerifierKey) -> Result[Included | Continued, Refusal]:
    """Check either kind of proof.

    Refusals: ``bad-proof-file``, ``bad-proof``, ``bad-checkpoint``, ``bad-signature``.
    """
    if len(text) > PROOF_LIMIT:
        return Failure(BAD_PROOF_FILE)
    if matched := _INCLUSION.fullmatch(text):
        return _included(matched[1], int(matched[2]), matched[3], matched[4], key)
    if matched := _CONSISTENCY.fullmatch(text):
        return _continued(matched[1], matched[2], matched[3], key)
    return Failure(BAD_PROOF_FILE)


def _included(extra: str, index: int, lines: str, note: str, key: VerifierKey) -> Result[Included | Continued, Refusal]:
    raw, proof = from_base64(extra).value_or(None), _hashes(lines)
    if raw is None or proof is None:
        return Failure(BAD_PROOF_FILE)
    match decode_entry(raw):
        case Success(entry) if entry.seq == index:
            pass
        case _:
            return Failure(BAD_PROOF_FILE)

    def shown(checkpoint: Checkpoint) -> Result[Included | Continued, Refusal]:
        held = verify_inclusion(
            leaf=leaf_hash(raw), index=index, size=checkpoint.size, proof=proof, root=checkpoint.root
        )
        return held.map(lambda _: Included(entry=entry, checkpoint=checkpoint))

    return verify_checkpoint(note, key).bind(shown)


def _continued(lines: str, older: str, newer: str, key: VerifierKey) -> Result[Included | Continued, Refusal]:
    proof = _hashes(lines)
    if proof is None:
        return Failure(BAD_PROOF_FILE)

    def shown(old: Checkpoint, new: Checkpoint) -> Result[Included | Continued, Refusal]:
        held = verify_consistency(
            old_size=old.size, new_size=new.size, old_root=old.root, new_root=new.root, proof=proof
        )
        return held.map(lambda _: Continued(older=old, newer=new))

    return verify_checkpoint(older, key).bind(
        lambda old: verify_checkpoint(newer, key).bind(lambda new: shown(old, new))
    )
