"""Laws 4 and 5: replay gives the state, from any snapshot too; whatever is done to a log is found, and located."""

import attrs
from hypothesis import assume, given
from hypothesis import strategies as st
from returns.result import Failure, Success

from ironsecrets.audit import decide, decode_entry
from ironsecrets.checkpoint import Checkpoint, origin_of
from ironsecrets.merkle import Frontier
from ironsecrets.replaying import replay, verify_log
from ironsecrets.snapshot import decode_snapshot, encode_snapshot
from ironsecrets.state import EMPTY, VaultState
from ironsecrets.vault import Request, Transition, apply
from properties import strategies as s


def told(history: list[Request]) -> tuple[list[bytes], list[VaultState]]:
    """The entries of a history, and the state after each."""
    entries: list[bytes] = []
    states: list[VaultState] = []
    state = EMPTY
    for request in history:
        decision = decide(state, request)
        state = decision.state
        entries.append(decision.entry)
        states.append(state)
    return entries, states


def signed(state: VaultState) -> Checkpoint:
    return Checkpoint(origin_of(state.vault), state.log.size, state.log.root())


@given(s.histories())
def test_replay_gives_the_state(history: list[Request]) -> None:
    entries, states = told(history)
    assert replay(entries) == Success(states[-1]) == replay(entries)
    assert verify_log(entries, signed(states[-1])) == Success(states[-1])


@given(s.histories(), st.data())
def test_replay_from_any_snapshot_gives_the_same(history: list[Request], data: st.DataObject) -> None:
    entries, states = told(history)
    at = data.draw(st.integers(0, len(entries) - 1))
    restored = decode_snapshot(encode_snapshot(states[at])).unwrap()
    assert restored == states[at]
    assert encode_snapshot(restored) == encode_snapshot(states[at])
    assert replay(entries[at + 1 :], restored) == Success(states[-1])


@given(s.histories(most=1), s.requests())
def test_apply_is_total(history: list[Request], request: Request) -> None:
    """Any request, at any time, before and after creation: a transition or a refusal, never an exception."""
    for state in (EMPTY, told(history)[1][-1]):
        match apply(state, request):
            case Success(made):
                assert isinstance(made, Transition)
            case Failure(refusal):
                assert refusal.code
            case _:
                raise AssertionError


@given(s.histories(most=12), st.data())
def test_whatever_is_done_to_a_log_is_found_and_located(history: list[Request], data: st.DataObject) -> None:
    entries, states = told(history)
    checkpoint = signed(states[-1])
    at = data.draw(st.integers(0, len(entries) - 1))
    damage = data.draw(st.sampled_from(["change", "drop", "add", "swap", "cut"]))
    damaged = list(entries)
    if damage == "change":
        raw = bytearray(entries[at])
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        damaged[at] = bytes(raw)
    elif damage == "drop":
        del damaged[at]
    elif damage == "add":
        damaged.insert(at, data.draw(st.sampled_from(entries)))
    elif damage == "swap":
        other = data.draw(st.integers(0, len(entries) - 1))
        damaged[at], damaged[other] = damaged[other], damaged[at]
    else:
        damaged = damaged[:at]
    assume(damaged != entries)
    match verify_log(damaged, checkpoint):
        case Failure(divergence):
            first = next(
                (n for n, (a, b) in enumerate(zip(entries, damaged, strict=False)) if a != b),
                min(len(entries), len(damaged)),
            )
            # Located at the first entry that is not what it was, or, where an entry was changed into another
            # that fits, by the root hash.
            assert divergence.seq is None or divergence.seq >= first
            if damage in ("drop", "add", "swap") and first < min(len(entries), len(damaged)):
                assert divergence.seq == first
            assert divergence.line()
        case _:
            raise AssertionError("not found")


@given(s.histories(most=12), st.data())
def test_no_verdict_can_be_turned(history: list[Request], data: st.DataObject) -> None:
    """An insider with every key rewrites one verdict and all that follows: replay still says where."""
    entries, _ = told(history)
    at = data.draw(st.integers(0, len(entries) - 1))
    entry = decode_entry(entries[at]).unwrap()
    turned = b'"verdict":"no-grant"' if entry.verdict == "applied" else b'"verdict":"applied"'
    old = b'"verdict":"' + entry.verdict.encode() + b'"'
    assume(old != turned)
    damaged = [*entries[:at], entries[at].replace(old, turned), *entries[at + 1 :]]
    tree = Frontier()
    from ironsecrets.merkle import leaf_hash

    for raw in damaged:
        tree = tree.append(leaf_hash(raw))
    forged = Checkpoint(origin_of(told(history)[1][-1].vault), tree.size, tree.root())
    match verify_log(damaged, forged):
        case Failure(divergence):
            assert (divergence.seq, divergence.rule) == (at, "verdict")
            assert divergence.expected == entry.verdict
        case _:
            raise AssertionError("not found")


@given(s.histories(most=12), st.data())
def test_time_runs_forward(history: list[Request], data: st.DataObject) -> None:
    later = [attrs.evolve(request, at=request.at + 10) for request in history]
    entries, _ = told(later)
    at = data.draw(st.integers(1, len(entries))) - 1
    assume(at > 0)
    back = attrs.evolve(later[at], at=later[at - 1].at - 1)
    damaged, _ = told([*later[:at], back])
    match replay(damaged):
        case Failure(divergence):
            assert (divergence.seq, divergence.rule) == (at, "time")
        case _:
            raise AssertionError("not found")
