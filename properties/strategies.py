"""Strategies: identifiers, values and every command, drawn from small pools so that commands meet."""

from typing import Any

from hypothesis import strategies as st

from ironsecrets.agents import Enroll, Remove, Resume, Suspend
from ironsecrets.audit import COMMANDS
from ironsecrets.drafts import Draft, NewGrant, NewLease, NewPending, NewRotation, NewToken, NewVersion
from ironsecrets.epochs import OpenEpoch, RetireEpoch, Rewrap, SetKeyPolicy
from ironsecrets.grants import IssueGrant, Revoke, RevokeAgent, RevokeAll
from ironsecrets.header import SlotKind
from ironsecrets.identifiers import (
    AgentId,
    Digest,
    Environment,
    GrantId,
    LeaseId,
    PersonName,
    RequestId,
    RotationId,
    RotatorName,
    SecretId,
    SecretName,
    Selector,
    SlotId,
    TokenId,
    VaultId,
)
from ironsecrets.leases import OpenLease, Release, Renew, RevokeLease
from ironsecrets.principals import Agent, Operator, Principal, Viewer
from ironsecrets.reading import ListEntries, MaskValue, RevealValue
from ironsecrets.removal import Delete, Destroy, Erase, Undelete
from ironsecrets.rotation import (
    AbortRotation,
    ClearRotation,
    CreatePending,
    FailRotation,
    FinishRotation,
    MarkAborted,
    MarkSet,
    MarkTested,
    SetRotation,
    StartRotation,
)
from ironsecrets.schedules import ALPHABETS, RotationPolicy
from ironsecrets.secrets import Describe, Put, Rollback
from ironsecrets.sensitive import Sensitive
from ironsecrets.slots import AddSlot, ChangeSlot, Rekey, RemoveSlot
from ironsecrets.vault import Command, Create, Request

NAMES = tuple(SecretName(n) for n in ("key", "openai/key", "openai/org/key", "db/main", "db/a/b/c", "a"))
SELECTORS = tuple(
    Selector(s)
    for s in ("key", "openai/key", "openai/*", "openai/**", "db/**", "db/a/*", "db/a/b/*", "openai/org/*", "**")
)
ENVIRONMENTS = tuple(Environment(e) for e in ("development", "production"))
AGENTS = tuple(AgentId(a) for a in ("agent_one", "agent_two", "agent_three"))
OPERATOR, VIEWER = Operator(PersonName("olga")), Viewer(PersonName("vera"))

names, selectors = st.sampled_from(NAMES), st.sampled_from(SELECTORS)
environments, agents = st.sampled_from(ENVIRONMENTS), st.sampled_from(AGENTS)
_segment = st.text("abzABZ019._-", min_size=1, max_size=8).filter(lambda s: s not in (".", ".."))
any_names = st.lists(_segment, min_size=1, max_size=6).map("/".join).map(SecretName)
any_selectors = st.one_of(
    any_names.map(Selector),
    st.just(Selector("**")),
    any_names.map(lambda n: Selector(n + "/*")),
    any_names.map(lambda n: Selector(n + "/**")),
)
values = st.one_of(
    st.binary(max_size=200), st.just(b""), st.just(bytes(range(256))), st.text(max_size=50).map(str.encode)
)
SPANS = (1, 1_000_000, 60_000_000, 900_000_000, 86_400_000_000)
spans = st.sampled_from(SPANS)
times = st.integers(0, 253_402_300_799_999_999)
digests = st.binary(min_size=32, max_size=32).map(lambda b: Digest(b.hex()))
_hex16, _hex8 = (st.binary(min_size=n, max_size=n).map(bytes.hex) for n in (16, 8))
_few = st.integers(1, 4)
_some_id = st.integers(0, 3)
secret_ids = _some_id.map(lambda n: SecretId(f"{n:032x}"))
grant_ids = _some_id.map(lambda n: GrantId(f"gr_{n:016x}"))
lease_ids = _some_id.map(lambda n: LeaseId(f"ls_{n:032x}"))
token_ids = _some_id.map(lambda n: TokenId(f"{n:016x}"))
rotation_ids = _some_id.map(lambda n: RotationId(f"rt_{n:016x}"))
rotators = st.sampled_from([RotatorName(n) for n in ("manual", "generated", "vendor")])
slot_ids = _some_id.map(lambda n: SlotId(f"{n:016x}"))
slot_kinds: st.SearchStrategy[SlotKind] = st.sampled_from(["passphrase", "master-key", "recovery-key"])
request_ids = _hex16.map(lambda h: RequestId("rq_" + h))

_where: dict[str, Any] = {"name": names, "environment": environments}
_metadata: dict[str, Any] = {
    "description": st.none() | st.sampled_from(["", "for billing", "größe"]),
    "provider": st.none() | st.sampled_from(["openai", "aws"]),
    "tags": st.none() | st.sampled_from([(), ("team:a",), ("x", "y")]),
    "variable": st.none() | st.sampled_from(["OPENAI_API_KEY", "_K"]),
}

labels = st.sampled_from(["current", "current", "previous"])
policies = st.builds(
    RotationPolicy,
    alphabet=st.sampled_from([*ALPHABETS.values(), "ab", "aa"]),
    before_expiry=st.none() | spans,
    cron=st.none() | st.sampled_from(["0 3 * * 0", "*/5 * * * *", "0 0 L * MON#1"]),
    destroy_previous=st.booleans(),
    every=st.none() | spans,
    length=st.sampled_from([1, 16, 64, 4096]),
    on_failure=st.sampled_from(["abort", "keep"]),
    overlap=st.just(0) | spans,
    rotator=rotators,
)
_rotation: dict[str, Any] = {**_where, "rotation": rotation_ids}

BY_TYPE: dict[str, st.SearchStrategy[Command]] = {
    "create": st.builds(Create, header=digests, kind=slot_kinds, slot=slot_ids, vault=_hex16.map(VaultId)),
    "put": st.builds(
        Put,
        **_where,
        **_metadata,
        digest=digests,
        epoch=st.integers(1, 2),
        expires_at=st.none() | times,
        secret=secret_ids,
        version=_few,
    ),
    "describe": st.builds(Describe, **_where, **_metadata),
    "rollback": st.builds(Rollback, **_where, to=_few),
    "destroy": st.builds(Destroy, **_where, version=_few),
    "delete": st.builds(Delete, **_where),
    "undelete": st.builds(Undelete, **_where),
    "erase": st.builds(Erase, **_where),
    "set-rotation": st.builds(SetRotation, **_where, policy=policies),
    "clear-rotation": st.builds(ClearRotation, **_where),
    "rotation-start": st.builds(StartRotation, **_rotation, rotator=rotators),
    "rotation-create": st.builds(
        CreatePending,
        **_rotation,
        digest=digests,
        epoch=st.integers(1, 2),
        expires_at=st.none() | times,
        secret=secret_ids,
        version=_few,
    ),
    "rotation-set": st.builds(MarkSet, **_rotation),
    "rotation-test": st.builds(MarkTested, **_rotation),
    "rotation-finish": st.builds(FinishRotation, **_rotation),
    "rotation-fail": st.builds(
        FailRotation,
        **_rotation,
        reason=st.sampled_from(["failed", "timed-out", "bad-output"]),
        step=st.sampled_from(["create", "set", "test", "finish", "abort"]),
    ),
    "rotation-abort": st.builds(AbortRotation, **_rotation),
    "rotation-aborted": st.builds(MarkAborted, **_rotation),
    "reveal": st.builds(RevealValue, **_where, version=st.none() | _few),
    "mask": st.builds(MaskValue, **_where, version=st.none() | _few),
    "list": st.builds(
        ListEntries,
        what=st.sampled_from(["secrets", "history", "agents", "grants", "leases", "rotations"]),
        name=st.none() | names,
        environment=st.none() | environments,
    ),
    "enroll": st.builds(Enroll, agent=agents, digest=digests, replace=st.booleans(), token=token_ids),
    "suspend": st.builds(Suspend, agent=agents),
    "resume": st.builds(Resume, agent=agents),
    "remove": st.builds(Remove, agent=agents),
    "grant": st.builds(
        IssueGrant,
        agent=agents,
        default_ttl=spans,
        environment=environments,
        expires_at=st.none() | times,
        grant=grant_ids,
        maximum_ttl=spans,
        selector=selectors,
        uses=st.none() | _few,
    ),
    "revoke": st.builds(Revoke, grant=grant_ids),
    "revoke-agent": st.builds(RevokeAgent, agent=agents),
    "revoke-all": st.builds(RevokeAll),
    "lease": st.builds(OpenLease, **_where, label=labels, lease=lease_ids, ttl=st.none() | spans),
    "renew": st.builds(Renew, lease=lease_ids, ttl=st.none() | spans),
    "release": st.builds(Release, lease=lease_ids),
    "revoke-lease": st.builds(RevokeLease, lease=lease_ids),
    "open-epoch": st.builds(OpenEpoch, epoch=_few, header=digests),
    "rewrap": st.builds(Rewrap, epoch=_few, secrets=st.lists(secret_ids, min_size=1, max_size=3).map(tuple)),
    "retire-epoch": st.builds(RetireEpoch, epoch=_few, header=digests),
    "set-key-policy": st.builds(SetKeyPolicy, age=st.none() | spans),
    "add-slot": st.builds(AddSlot, header=digests, kind=slot_kinds, slot=slot_ids),
    "remove-slot": st.builds(RemoveSlot, header=digests, slot=slot_ids),
    "change-slot": st.builds(ChangeSlot, header=digests, kind=slot_kinds, replacement=slot_ids, slot=slot_ids),
    "rekey": st.builds(
        Rekey, generation=_few, header=digests, slots=st.lists(slot_ids, min_size=1, max_size=3).map(tuple)
    ),
}
"""A strategy for every command, by its type."""

assert BY_TYPE.keys() == COMMANDS.keys()

commands: st.SearchStrategy[Command] = st.one_of(*BY_TYPE.values())
drafts: st.SearchStrategy[Draft] = st.one_of(
    st.builds(NewVersion, **_where, value=values.map(Sensitive)),
    st.builds(NewToken, agent=agents, replace=st.booleans()),
    st.builds(
        NewGrant,
        agent=agents,
        selector=selectors,
        environment=environments,
        default_ttl=spans,
        maximum_ttl=spans,
        expires_in=st.none() | spans,
        uses=st.none() | _few,
    ),
    st.builds(NewLease, **_where, label=labels, ttl=st.none() | spans),
    st.builds(NewRotation, **_where, rotator=rotators),
    st.builds(NewPending, **_rotation, value=values.map(Sensitive)),
)
principals: st.SearchStrategy[Principal] = st.one_of(
    st.just(OPERATOR), st.just(VIEWER), st.builds(Agent, agents, st.none() | token_ids)
)
_AGENT_TYPES = ("lease", "renew", "release")


@st.composite
def requests(draw: st.DrawFn, *, at: st.SearchStrategy[int] = times) -> Request:
    """A request by a principal that may often ask for it."""
    command = draw(commands)
    likely = st.builds(Agent, agents) if command.type in _AGENT_TYPES else st.just(OPERATOR)
    who = draw(st.one_of(likely, likely, likely, principals))
    return Request(at=draw(at), command=command, id=draw(request_ids), principal=who)


@st.composite
def histories(draw: st.DrawFn, *, most: int = 25) -> list[Request]:
    """Requests in the order of time, the first of which creates the vault."""
    first = Request(at=1_000, command=draw(BY_TYPE["create"]), id=draw(request_ids), principal=OPERATOR)
    made, now = [first], 1_000
    for _ in range(draw(st.integers(0, most))):
        now += draw(st.sampled_from([0, 1, 500_000, 1_000_000, 60_000_000]))
        made.append(draw(requests(at=st.just(now))))
    return made
