"""Making a vault and unlocking one, on any store."""

from collections.abc import Sequence

import attrs
from returns.result import Failure, Success

from interpreters.derivation import Credential, fresh_cost, slot_key
from interpreters.engine import Engine
from interpreters.proof import hold_against
from interpreters.sinks import Sink, Sinks
from interpreters.store import Batch, Image, Store, StoredEntry
from interpreters.unsealed import found, restored
from interpreters.world import Clock, Entropy, SystemClock, SystemEntropy
from ironsecrets.at_rest import encode_head, request_tag, seal_entry
from ironsecrets.audit import decide
from ironsecrets.checkpoint import public_key_of
from ironsecrets.errors import CannotUnlock, IntegrityError, NewerFormat, NotAVault
from ironsecrets.header import (
    Argon2Cost,
    Header,
    NewerHeader,
    Slot,
    decode_header,
    encode_header,
    field,
    header_digest,
    header_holds,
    header_mac,
)
from ironsecrets.identifiers import PersonName, RequestId, SlotId, VaultId
from ironsecrets.keyring import (
    Keys,
    WrongKey,
    derive_keys,
    make_slot,
    root_keys,
    unlock_slot,
    wrap_epoch,
    wrap_key,
)
from ironsecrets.principals import Operator
from ironsecrets.refusals import Tampered
from ironsecrets.sealing import KEY_BYTES, NONCE_BYTES, SALT_BYTES
from ironsecrets.sensitive import wipe
from ironsecrets.state import EMPTY, VaultState
from ironsecrets.vault import Create, Request

ATTEMPTS = 5


@attrs.frozen(kw_only=True)
class World:
    """Where time and randomness come from."""

    clock: Clock = SystemClock()
    entropy: Entropy = SystemEntropy()


def first_batch(credential: Credential, creator: PersonName, world: World, cost: Argon2Cost | None = None) -> Batch:
    """A new vault, as the first commit of its store: header, first entry, head."""
    draw = world.entropy.draw
    at = world.clock.now()
    vault = VaultId(draw(16).hex())
    root, epoch, signing, log = (bytearray(draw(KEY_BYTES)) for _ in range(4))
    wrapping = root_keys(root, vault)
    slot = new_slot(credential, vault, root, at=at, entropy=world.entropy, cost=cost)
    header = Header(
        audit_key=field(public_key_of(signing)),
        epochs=(wrap_epoch(wrapping["epoch-wrapping"], vault, number=1, key=epoch, at=at, salt=draw(SALT_BYTES)),),
        log_key=wrap_key(wrapping["log-key-wrapping"], vault, "log-key", key=log, salt=draw(SALT_BYTES)),
        root_generation=1,
        signing_key=wrap_key(
            wrapping["signing-key-wrapping"], vault, "signing-key", key=signing, salt=draw(SALT_BYTES)
        ),
        slots=(slot,),
        vault=vault,
    )
    raw = encode_header(header)
    keys = derive_keys(root, header).unwrap()
    request = Request(
        at=at,
        command=Create(header=header_digest(raw), kind=slot.kind, slot=slot.id, vault=vault),
        id=RequestId("rq_" + draw(16).hex()),
        principal=Operator(creator),
    )
    decision = decide(EMPTY, request)
    batch = Batch(
        expected_size=0,
        entries=(
            StoredEntry(
                tag=request_tag(keys, request.id),
                sealed=seal_entry(keys, vault, 0, decision.entry, draw(SALT_BYTES)),
            ),
        ),
        header=(raw, header_mac(keys["header-mac"], raw)),
        head=encode_head(keys, vault, decision.state.log),
    )
    keys.wipe()
    for buffer in (root, epoch, signing, log, *wrapping.values()):
        wipe(buffer)
    return batch


def unlock(
    store: Store,
    credential: Credential,
    *,
    checkpoint: str | None = None,
    sinks: Sequence[Sink] = (),
    world: World | None = None,
) -> Engine:
    """Open what ``store`` holds. ``checkpoint`` is the last signed note that the opener has seen: a store that
    went behind it, or took another way, is refused.
    """
    header, keys, state, snapshot_size = _opened(store, credential)
    world = world or World()
    engine = Engine(
        store=store,
        keys=keys,
        header=header,
        state=state,
        snapshot_size=snapshot_size,
        clock=world.clock,
        entropy=world.entropy,
        sinks=Sinks(sinks),
    )
    if checkpoint is not None:
        hold_against(engine, checkpoint)
    engine.sinks.pump(engine.state.log.size, engine.plain_entries)
    return engine


def _opened(store: Store, credential: Credential) -> tuple[Header, Keys, VaultState, int]:
    for left in reversed(range(ATTEMPTS)):
        image = store.load()
        if image is None:
            raise NotAVault("the store holds no vault")
        header = _header(image)
        keys = _unlocked(header, credential)
        if not header_holds(keys["header-mac"], image.header, image.header_mac):
            raise IntegrityError("the header was changed")
        try:
            state, snapshot_size = restored(store, image, keys, header.vault)
        except IntegrityError:
            # Others may have archived, between, what was about to be read.
            if not left or store.load() == image:
                raise
            continue
        if state.header != header_digest(image.header):
            raise IntegrityError("the header is not the one that the log knows: it was put back from an older copy")
        return header, keys, state, snapshot_size
    raise AssertionError


def _header(image: Image) -> Header:
    match decode_header(image.header):
        case Success(header):
            return header
        case Failure(NewerHeader(version)):
            raise NewerFormat(f"the vault has format {version}, newer than this version knows; upgrade ironsecrets")
        case Failure(Tampered(what)):
            raise IntegrityError(f"the {what} cannot be trusted")
        case _:
            raise AssertionError


def new_slot(
    credential: Credential,
    vault: VaultId,
    root: bytearray,
    *,
    at: int,
    entropy: Entropy,
    cost: Argon2Cost | None = None,
    slot_id: SlotId | None = None,
) -> Slot:
    """A slot that ``credential`` unlocks; a passphrase's cost is today's policy where none is given."""
    cost = (cost or fresh_cost(entropy.draw(16))) if credential.kind == "passphrase" else None
    with slot_key(credential, cost) as key:
        return make_slot(
            vault=vault,
            slot=slot_id or SlotId(entropy.draw(8).hex()),
            kind=credential.kind,
            cost=cost,
            at=at,
            slot_key=key.view(),
            root_key=root,
            nonce=entropy.draw(NONCE_BYTES),
        )


def _unlocked(header: Header, credential: Credential) -> Keys:
    _, root = unlock_root(header, credential)
    keys = derive_keys(root, header)
    wipe(root)
    return found(keys)


def unlock_root(header: Header, credential: Credential) -> tuple[Slot, bytearray]:
    """The slot that ``credential`` unlocks and the root key, which the caller wipes."""
    slots = [slot for slot in header.slots if slot.kind == credential.kind]
    for slot in slots:
        with slot_key(credential, slot.cost) as key:
            match unlock_slot(slot, header.vault, key.view()):
                case Success(root):
                    return slot, root
                case Failure(WrongKey()):
                    continue
                case Failure(Tampered(changed)):
                    raise IntegrityError(f"{changed} was changed")
                case _:
                    raise AssertionError
    what = credential.kind.replace("-", " ")
    if not slots:
        kinds = " or ".join(sorted({slot.kind.replace("-", " ") for slot in header.slots}))
        raise CannotUnlock(f"this vault is unlocked with a {kinds}, not with a {what}")
    raise CannotUnlock(f"wrong {what}")
