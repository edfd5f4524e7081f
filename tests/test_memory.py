"""Values in memory: nothing is left after release, expiry, revocation, garbage collection, in a core or a fork."""

import copy
import ctypes
import gc
import json
import os
import pickle
import resource
import secrets
import subprocess
import sys
import time
import traceback
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

import ironsecrets
from interpreters.locked_memory import allocate, guarded, live_values, protections
from ironsecrets.sensitive import Sensitive
from properties.worlds import MASTER_KEY, SetClock, world
from tests.conftest import Opener
from tests.memory import FLIP, memory_holds

ENV = "production"
linux = pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux's /proc/self/mem")


@pytest.fixture
def flipped(path: Path) -> bytearray:
    """The value that the vault holds, with every bit flipped: the only form in which this process knows it."""
    made = bytearray(secrets.token_bytes(48).translate(FLIP))
    program = f"""
import sys
sys.stdout.buffer.write(bytes.fromhex({made.hex()!r}).translate(bytes(b ^ 0xFF for b in range(256))))
"""
    making = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    keeping = f"""
import sys, ironsecrets
with ironsecrets.create_vault({str(path)!r}, master_key=bytes.fromhex({MASTER_KEY.hex()!r})) as vault:
    operator = vault.operator("o")
    operator.put("openai/key", sys.stdin.buffer.read(), environment="production")
    operator.grant("agent_one", "openai/*", environment="production")
"""
    subprocess.run([sys.executable, "-c", keeping], stdin=making.stdout, check=True, timeout=60)
    making.wait()
    assert making.stdout is not None
    making.stdout.close()
    return made


@linux
def test_a_lease_holds_its_value_once_and_release_leaves_none(opened: Opener, flipped: bytearray) -> None:
    vault = opened()
    assert memory_holds(flipped, flipped=True) == 0
    lease = vault.acting_for("agent_one").lease("openai/key", environment=ENV)
    assert memory_holds(flipped, flipped=True) == 1, "decrypted into its place, with no copy on the way"
    assert bytes(lease.view()).translate(FLIP) == flipped
    lease.release()
    assert memory_holds(flipped, flipped=True) == 0


@linux
def test_using_it_again_leaves_no_copies(opened: Opener, flipped: bytearray) -> None:
    vault = opened()
    with vault.acting_for("agent_one").lease("openai/key", environment=ENV) as lease:
        for _ in range(100):
            lease.view()
        with lease.value() as copied:
            assert memory_holds(flipped, flipped=True) == 2
            assert len(copied) == 48
        assert memory_holds(flipped, flipped=True) == 1
    assert memory_holds(flipped, flipped=True) == 0


@linux
def test_expiry_wipes_without_any_use(opened: Opener, flipped: bytearray) -> None:
    where = world()
    assert isinstance(where.clock, SetClock)
    where.clock.time = 2_000_000_000_000_000
    vault = opened(world=where)
    lease = vault.acting_for("agent_one").lease("openai/key", environment=ENV)
    vault._engine.custody.sweep(vault._engine)
    assert memory_holds(flipped, flipped=True) == 1
    where.clock.time += 15 * 60 * 1_000_000
    vault._engine.custody.sweep(vault._engine)
    assert memory_holds(flipped, flipped=True) == 0
    with pytest.raises(ironsecrets.Refused, match="expired"):
        lease.text()


@linux
def test_revocation_by_another_process_wipes_without_any_use(opened: Opener, flipped: bytearray, path: Path) -> None:
    """The thread that looks after leases, for real: no call from here."""
    vault = opened()
    lease = vault.acting_for("agent_one").lease("openai/key", environment=ENV)
    assert memory_holds(flipped, flipped=True) == 1
    program = f"""
import ironsecrets
with ironsecrets.open_vault({str(path)!r}, master_key=bytes.fromhex({MASTER_KEY.hex()!r})) as vault:
    vault.operator("o").revoke_all()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    until = time.monotonic() + 20
    while not lease._value.wiped and time.monotonic() < until:
        time.sleep(0.02)
    assert memory_holds(flipped, flipped=True) == 0


@linux
def test_garbage_collection_and_closing_wipe(opened: Opener, flipped: bytearray) -> None:
    vault = opened()
    lease = vault.acting_for("agent_one").lease("openai/key", environment=ENV)
    view = lease.view()
    del lease
    assert memory_holds(flipped, flipped=True) == 0, "a view that somebody kept shows zeros"
    assert not any(view)
    kept = vault.acting_for("agent_one").lease("openai/key", environment=ENV)
    vault.close()
    assert memory_holds(flipped, flipped=True) == 0
    assert kept.version == 0


@linux
def test_a_rotated_value_replaces_the_old_one(opened: Opener, flipped: bytearray) -> None:
    vault = opened()
    lease = vault.acting_for("agent_one").lease("openai/key", environment=ENV)
    vault.operator("o").put("openai/key", "new", environment=ENV)
    assert lease.text() == "new"
    assert memory_holds(flipped, flipped=True) == 0


@linux
def test_interpreter_exit_wipes(path: Path, flipped: bytearray) -> None:
    """What the last exit handler of all sees: a lease that nobody released is zeros."""
    program = f"""
import atexit, sys, weakref
views = []
@atexit.register
def last():
    print(any(views[0]), len(views[0]))
import ironsecrets
vault = ironsecrets.open_vault({str(path)!r}, master_key=bytes.fromhex({MASTER_KEY.hex()!r}))
lease = vault.acting_for("agent_one").lease("openai/key", environment="production")
views.append(lease._value.view())
assert any(views[0])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False 48\n", done.stderr


@linux
def test_what_the_pages_say_of_themselves(opened: Opener, flipped: bytearray) -> None:
    """The kernel's own word for locked, not dumped, wiped on fork: the VmFlags of /proc/self/smaps."""
    vault = opened()
    lease = vault.acting_for("agent_one").lease("openai/key", environment=ENV)
    assert lease.protection == {"locked", "not-dumped", "wiped-on-fork"}
    address = ctypes.addressof(ctypes.c_char.from_buffer(lease._value.view()))
    flags: list[str] = []
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        span = line.split()[0]
        if "-" in span and not span.endswith(":"):
            low, high = (int(part, 16) for part in span.split("-"))
            inside = low <= address < high
        elif inside and line.startswith("VmFlags:"):
            flags = line.split()[1:]
    assert {"lo", "dd", "wf"} <= set(flags)


@linux
def test_without_permission_to_lock_it_says_so() -> None:
    program = """
import os, resource
from interpreters.locked_memory import allocate, guarded, protections
resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
if os.geteuid() == 0:
    # Root may lock whatever the limit says: as somebody else, then.
    os.setgid(65534)
    os.setuid(65534)
print(sorted(protections(guarded(allocate(32)))))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "['not-dumped', 'wiped-on-fork']\n", done.stderr


@linux
def test_a_real_core_does_not_hold_the_value(path: Path, flipped: bytearray, tmp_path: Path) -> None:
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if "/" in pattern or "|" in pattern:
        pytest.skip("cores go elsewhere on this machine")
    program = f"""
import os, ironsecrets
vault = ironsecrets.open_vault({str(path)!r}, master_key=bytes.fromhex({MASTER_KEY.hex()!r}))
lease = vault.acting_for("agent_one").lease("openai/key", environment="production")
assert any(lease.view())
control = bytes(range(200, 248))
os.abort()
"""
    resources = (resource.RLIM_INFINITY, resource.getrlimit(resource.RLIMIT_CORE)[1])
    if resources[1] != resource.RLIM_INFINITY:
        pytest.skip("no cores may be written here")
    subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, resources),
    )
    cores = list(tmp_path.glob("core*"))
    assert cores, "a core was written"
    core = cores[0].read_bytes()
    cores[0].unlink()
    assert bytes(range(200, 248)) in core, "the search finds what is there"
    assert bytes(flipped).translate(FLIP) not in core


@linux
def test_a_forked_child_has_zeros() -> None:
    value = guarded(allocate(32))
    value.view()[:] = b"x" * 32
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, bytes(value.view()))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 64) == bytes(32)
    assert value.bytes() == b"x" * 32
    for descriptor in (read, write):
        os.close(descriptor)


@linux
def test_a_page_is_used_again_but_not_under_a_view() -> None:
    def address(value: Sensitive) -> int:
        return ctypes.addressof(ctypes.c_char.from_buffer(value.view()))

    gc.collect()  # Nobody else's value is given up meanwhile.
    one = guarded(allocate(48))
    one.view()[:] = b"x" * 48
    page = address(one)
    del one
    two = guarded(allocate(4096))
    assert (address(two), two.bytes()) == (page, bytes(4096)), "used again, and wiped before"
    assert protections(two) == {"locked", "not-dumped", "wiped-on-fork"}
    two.view()[:] = b"y" * 4096
    view = two.view()[100:200]
    del two
    three = guarded(allocate(48))
    three.view()[:] = b"z" * 48
    assert address(three) != page
    assert not any(view)


@linux
def test_a_forked_child_locks_pages_of_its_own() -> None:
    guarded(allocate(32)).wipe()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        value = guarded(allocate(32))
        flags = next(part for part in Path("/proc/self/status").read_text().splitlines() if part.startswith("VmLck:"))
        os.write(write, f"{int(flags.split()[1]) >= 4} {sorted(protections(value))}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 200).decode() == "True ['locked', 'not-dumped', 'wiped-on-fork']"
    for descriptor in (read, write):
        os.close(descriptor)


def test_a_value_shows_itself_to_nobody(opened: Opener) -> None:
    vault = opened()
    operator = vault.operator("o")
    operator.put("openai/key", "sk-abcdef123456", environment=ENV)
    operator.grant("agent_one", "openai/*", environment=ENV)
    with vault.acting_for("agent_one").lease("openai/key", environment=ENV) as lease:
        value = lease.value()
        for shown in (repr(lease), str(lease), f"{lease}", repr(value), str(value), f"{value:>50}", repr([value])):
            assert "abcdef" not in shown
        for refuse in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps, msgspec.json.encode):
            with pytest.raises(TypeError):
                refuse(value)
        for refuse in (pickle.dumps, json.dumps, msgspec.json.encode):
            with pytest.raises(TypeError):
                refuse(lease)
        assert value == "sk-abcdef123456"
        assert value != "sk-abcdef123457"
        assert value == b"sk-abcdef123456"
        assert lease.view().readonly
        vault.operator("o").revoke_all()
        try:
            lease.text()
        except ironsecrets.Refused as error:
            told = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
        assert "abcdef" not in told


def test_a_value_that_is_no_text_is_not_in_the_error(opened: Opener) -> None:
    vault = opened()
    operator = vault.operator("o")
    operator.put("k", b"\xffSECRET", environment=ENV)
    operator.grant("agent_one", "k", environment=ENV)
    with vault.acting_for("agent_one").lease("k", environment=ENV) as lease:
        with pytest.raises(UnicodeDecodeError) as caught:
            lease.text()
        told = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
        assert "SECRET" not in told
        assert caught.value.object == b"?"
        assert lease.bytes() == b"\xffSECRET"


def test_custody_is_told_of_values_and_forgets_them(opened: Opener) -> None:
    gc.collect()  # What other tests have left behind, and nobody holds.
    before = len(list(live_values()))
    vault = opened()
    operator = vault.operator("o")
    operator.put("k", "value", environment=ENV)
    operator.grant("agent_one", "k", environment=ENV, ttl=timedelta(minutes=1))
    lease = vault.acting_for("agent_one").lease("k", environment=ENV)
    assert len(list(live_values())) == before + 1
    lease.release()
    assert len(list(live_values())) == before
    assert protections(Sensitive("plain")) == frozenset()


def test_no_thread_is_left_when_nothing_is_held(opened: Opener) -> None:
    vault = opened()
    operator = vault.operator("o")
    operator.put("k", "value", environment=ENV)
    operator.grant("agent_one", "k", environment=ENV)
    with vault.acting_for("agent_one").lease("k", environment=ENV):
        thread = vault._engine.custody._thread
        assert thread is not None
    thread.join(10)
    assert not thread.is_alive()
    assert vault._engine.custody._thread is None
