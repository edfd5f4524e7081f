"""The RFC 6962 / RFC 9162 section 2.1 Merkle tree: frontier, root, inclusion and consistency proofs.

Leaf hash: SHA-256(0x00 || entry). Node hash: SHA-256(0x01 || left || right). The frontier keeps the roots of the
perfect subtrees that make up a tree of the given size, largest first, so an append costs O(log n) at most.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Annotated

import attrs
import msgspec
from returns.result import Failure, Result, Success

from ironsecrets.refusals import Refusal

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

BAD_PROOF = Refusal("bad-proof", "the proof does not show what it claims")
OUT_OF_RANGE = Refusal("out-of-range", "the log has no such entry or size")


def leaf_hash(entry: bytes) -> bytes:
    """RFC 9162 section 2.1.1."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 9162 section 2.1.1."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@attrs.frozen
class Frontier:
    """A tree of ``size`` leaves, reduced to what further appends and the root need."""

    size: Annotated[int, msgspec.Meta(ge=0)] = 0
    hashes: tuple[bytes, ...] = ()

    def append(self, leaf: bytes) -> "Frontier":
        """The frontier with one more leaf hash."""
        return self.extend((leaf,))

    def extend(self, leaves: Iterable[bytes]) -> "Frontier":
        """The frontier with more leaf hashes."""
        size, stack = self.size, list(self.hashes)
        sha256 = hashlib.sha256
        for leaf in leaves:
            rest = size
            while rest & 1:
                leaf = sha256(b"\x01" + stack.pop() + leaf).digest()
                rest >>= 1
            stack.append(leaf)
            size += 1
        return Frontier(size, tuple(stack))

    def root(self) -> bytes:
        """The root hash of the tree."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = node_hash(left, root)
        return root

    def is_sound(self) -> bool:
        """Whether there is one hash for every set bit of the size."""
        return len(self.hashes) == self.size.bit_count() and all(len(h) == HASH_BYTES for h in self.hashes)


def frontier_of(leaves: Sequence[bytes]) -> Frontier:
    """The frontier of a whole sequence of leaf hashes."""
    return Frontier().extend(leaves)


def _split(size: int) -> int:
    return 1 << (size - 1).bit_length() - 1


def _tree_root(leaves: Sequence[bytes]) -> bytes:
    return frontier_of(leaves).root()


def inclusion_proof(leaves: Sequence[bytes], index: int) -> Result[tuple[bytes, ...], Refusal]:
    """The audit path of leaf ``index``, counted from 0, RFC 9162 section 2.1.3.1. Refusals: ``out-of-range``."""
    if not 0 <= index < len(leaves):
        return Failure(OUT_OF_RANGE)
    path: list[bytes] = []
    while len(leaves) > 1:
        split = _split(len(leaves))
        if index < split:
            path.append(_tree_root(leaves[split:]))
            leaves = leaves[:split]
        else:
            path.append(_tree_root(leaves[:split]))
            leaves, index = leaves[split:], index - split
    return Success(tuple(reversed(path)))


def verify_inclusion(
    *, leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> Result[None, Refusal]:
    """RFC 9162 section 2.1.3.2. Refusals: ``bad-proof``."""
    if not 0 <= index < size:
        return Failure(BAD_PROOF)
    fn, sn, computed = index, size - 1, leaf
    for step in proof:
        if sn == 0 or len(step) != HASH_BYTES:
            return Failure(BAD_PROOF)
        if fn & 1 or fn == sn:
            computed = node_hash(step, computed)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            computed = node_hash(computed, step)
        fn, sn = fn >> 1, sn >> 1
    return Success(None) if sn == 0 and computed == root else Failure(BAD_PROOF)


def consistency_proof(leaves: Sequence[bytes], old: int) -> Result[tuple[bytes, ...], Refusal]:
    """RFC 9162 section 2.1.4.1, from ``old`` to all leaves. Refusals: ``out-of-range``."""
    if not 0 < old <= len(leaves):
        return Failure(OUT_OF_RANGE)
    path: list[bytes] = []
    whole = True
    while old != len(leaves):
        split = _split(len(leaves))
        if old <= split:
            path.append(_tree_root(leaves[split:]))
            leaves = leaves[:split]
        else:
            path.append(_tree_root(leaves[:split]))
            leaves, old, whole = leaves[split:], old - split, False
    if not whole:
        path.append(_tree_root(leaves))
    return Success(tuple(reversed(path)))


def verify_consistency(
    *, old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> Result[None, Refusal]:
    """RFC 9162 section 2.1.4.2. Refusals: ``bad-proof``."""
    if not 0 < old_size <= new_size or any(len(step) != HASH_BYTES for step in proof):
        return Failure(BAD_PROOF)
    if old_size == new_size:
        return Success(None) if not proof and old_root == new_root else Failure(BAD_PROOF)
    steps = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    if not steps:
        return Failure(BAD_PROOF)
    fn, sn = old_size - 1, new_size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = steps[0]
    for step in steps[1:]:
        if sn == 0:
            return Failure(BAD_PROOF)
        if fn & 1 or fn == sn:
            fr, sr = node_hash(step, fr), node_hash(step, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, step)
        fn, sn = fn >> 1, sn >> 1
    good = sn == 0 and fr == old_root and sr == new_root
    return Success(None) if good else Failure(BAD_PROOF)
