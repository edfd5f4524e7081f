"""Law 9: inclusion and consistency proofs verify exactly for what they prove."""

from hypothesis import given
from hypothesis import strategies as st
from returns.result import Failure, Success

from ironsecrets.checkpoint import (
    Checkpoint,
    VerifierKey,
    origin_of,
    parse_verifier_key,
    public_key_of,
    sign_checkpoint,
    verify_checkpoint,
)
from ironsecrets.identifiers import VaultId
from ironsecrets.merkle import (
    consistency_proof,
    frontier_of,
    inclusion_proof,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)

trees = st.lists(st.binary(max_size=8).map(leaf_hash), min_size=1, max_size=70)
hashes = st.binary(min_size=32, max_size=32)


def slow_root(leaves: list[bytes]) -> bytes:
    """RFC 9162 section 2.1.1, as it stands there."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(slow_root(leaves[:split]), slow_root(leaves[split:]))


@given(trees)
def test_the_frontier_has_the_root_of_the_whole(leaves: list[bytes]) -> None:
    frontier = frontier_of(leaves)
    assert frontier.root() == slow_root(leaves)
    assert frontier.is_sound()


@given(trees, st.data())
def test_inclusion(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    size, root = len(leaves), slow_root(leaves)
    proof = inclusion_proof(leaves, index).unwrap()

    def holds(**changed: object) -> bool:
        given_: dict[str, object] = {"leaf": leaves[index], "index": index, "size": size, "proof": proof, "root": root}
        return isinstance(verify_inclusion(**{**given_, **changed}), Success)  # pyright: ignore[reportArgumentType]

    assert holds()
    other = data.draw(hashes)
    assert not holds(leaf=other)
    assert not holds(root=other)
    assert not holds(proof=(*proof, other))
    assert not holds(index=size)
    assert not holds(index=-1)
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        assert not holds(proof=proof[:at] + proof[at + 1 :])
        assert not holds(proof=(*proof[:at], other, *proof[at + 1 :]))
        assert not holds(proof=(*proof[:at], proof[at][:31], *proof[at + 1 :]))
    wrong = data.draw(st.integers(0, size - 1))
    if leaves[wrong] != leaves[index]:
        assert not holds(index=wrong)


@given(trees, st.data())
def test_consistency(leaves: list[bytes], data: st.DataObject) -> None:
    old = data.draw(st.integers(1, len(leaves)))
    proof = consistency_proof(leaves, old).unwrap()
    roots = {"old_root": slow_root(leaves[:old]), "new_root": slow_root(leaves)}

    def holds(**changed: object) -> bool:
        given_: dict[str, object] = {"old_size": old, "new_size": len(leaves), "proof": proof, **roots}
        return isinstance(verify_consistency(**{**given_, **changed}), Success)  # pyright: ignore[reportArgumentType]

    assert holds()
    other = data.draw(hashes)
    assert not holds(old_root=other)
    assert not holds(new_root=other)
    assert not holds(proof=(*proof, other))
    assert not holds(old_size=0)
    assert not holds(old_size=len(leaves) + 1)
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        assert not holds(proof=proof[:at] + proof[at + 1 :])
        assert not holds(proof=(*proof[:at], other, *proof[at + 1 :]))


@given(trees)
def test_proofs_of_what_is_not_there_are_refused(leaves: list[bytes]) -> None:
    assert isinstance(inclusion_proof(leaves, len(leaves)), Failure)
    assert isinstance(inclusion_proof(leaves, -1), Failure)
    assert isinstance(consistency_proof(leaves, 0), Failure)
    assert isinstance(consistency_proof(leaves, len(leaves) + 1), Failure)


@given(hashes, hashes, st.integers(0, 2**53), st.data())
def test_a_checkpoint_verifies_for_what_was_signed(private: bytes, root: bytes, size: int, data: st.DataObject) -> None:
    origin = origin_of(VaultId("a" * 32))
    checkpoint = Checkpoint(origin, size, root)
    note = sign_checkpoint(checkpoint, private)
    key = VerifierKey(origin, public_key_of(private))
    assert parse_verifier_key(key.text()) == Success(key)
    assert verify_checkpoint(note, key) == Success(checkpoint)
    at = data.draw(st.integers(0, len(note) - 1))
    put = data.draw(st.sampled_from("0aZ+/= \n—"))
    changed = note[:at] + put + note[at + 1 :]
    if changed != note:
        assert isinstance(verify_checkpoint(changed, key), Failure)
    other = VerifierKey(origin, public_key_of(bytes(32)))
    if other != key:
        assert isinstance(verify_checkpoint(note, other), Failure)
