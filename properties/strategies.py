"""Strategies: identifiers, values and every command, drawn from small pools so that commands meet."""

from typing import Any

from hypothesis import strategies as st

from interpreters.time_zones import load_window
from ironsecrets.access_requests import (
    ApproveRequest,
    DeclineRequest,
    RequestAccess,
    RequestPolicy,
    SetRequestPolicy,
)
from ironsecrets.agents import Enroll, LimitAgent, Remove, Resume, Suspend
from ironsecrets.audit import COMMANDS
from ironsecrets.conditions import Conditions, Terms
from ironsecrets.drafts import (
    Draft,
    NewAccessRequest,
    NewApproval,
    NewBreakGlass,
    NewGrant,
    NewLease,
    NewPending,
    NewRotation,
    NewToken,
    NewVersion,
)
from ironsecrets.epochs import OpenEpoch, RetireEpoch, Rewrap, SetKeyPolicy
from ironsecrets.grants import BreakGlass, IssueGrant, Revoke, RevokeAgent, RevokeAll
from ironsecrets.header import SlotKind
from ironsecrets.identifiers import (
    AccessRequestId,
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
from ironsecrets.kill_switch import Seal, Unseal
from ironsecrets.leases import OpenLease, Release, Renew, RevokeLease
from ironsecrets.principals import Agent, Claims, Operator, Principal, Viewer
from ironsecrets.rates import Rate
from ironsecrets.reading import ListEntries, MaskValue, RevealValue
from ironsecrets.removal import Delete, Destroy, Erase, Undelete
from ironsecrets.retention import Archive, Restore
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
from ironsecrets.suspension import SetSuspensionPolicy, SuspensionPolicy
from ironsecrets.vault import Command, Create, Request
from ironsecrets.windows import Window
from ironsecrets.zones import Shift, Zone
from properties.worlds import EPOCH

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
access_request_ids = _some_id.map(lambda n: AccessRequestId(f"ar_{n:016x}"))
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
OTHER_OPERATOR = Operator(PersonName("oscar"))
PERMISSIONS = ("data:read", "llm:call")
permissions = st.none() | st.sampled_from(PERMISSIONS)
HOURS = (
    "Mon-Fri 08:00-18:00 Europe/Berlin",
    "Sun 17:00-24:00 Europe/Berlin",
    "daily 22:00-06:00 UTC",
    "Sat,Sun 00:00-24:00 America/New_York",
    "Sun-Tue 15:30-15:00 Asia/Kathmandu",
)
WINDOWS = {text: load_window(text, EPOCH).unwrap() for text in HOURS}
hours = st.lists(st.sampled_from(HOURS), max_size=2, unique=True).map(tuple)
RATES = (
    Rate(burst=1, count=1, per=60_000_000),
    Rate(burst=2, count=3, per=1_000_000),
    Rate(burst=3, count=2, per=900_000_000),
)
rates = st.sampled_from((None, None, *RATES))
reasons = st.sampled_from(["the nightly job failed", "größe"])
_zones = st.builds(
    Zone,
    name=st.just("Europe/Berlin"),
    rule=st.sampled_from(["CET-1CEST,M3.5.0,M10.5.0/3", "<+0545>-5:45", "IST-1GMT0,M10.5.0,M3.5.0/1"]),
    shifts=st.lists(
        st.builds(Shift, at=st.integers(0, 4_000_000_000), offset=st.sampled_from([-3600, 0, 7200])), max_size=3
    ).map(tuple),
)
_days = st.lists(st.integers(1, 7), min_size=1, max_size=7).map(tuple)
windows = st.builds(
    Window,
    closes=st.integers(1, 1440),
    days=_days | _days.map(sorted).map(tuple),
    opens=st.integers(0, 1439),
    zone=_zones,
) | st.sampled_from(tuple(WINDOWS.values()))
conditions = st.builds(
    Conditions,
    default_ttl=spans,
    expires_at=st.none() | times,
    maximum_ttl=spans,
    not_before=st.none() | st.none() | times,
    permission=st.none() | permissions,
    rate=rates,
    uses=st.none() | _few,
    windows=st.just(()) | st.lists(windows, max_size=2).map(tuple),
)
terms = st.builds(
    Terms,
    default_ttl=spans,
    expires_in=st.none() | spans,
    maximum_ttl=spans,
    not_before=st.none() | st.none() | times,
    permission=st.none() | permissions,
    rate=rates,
    uses=st.none() | _few,
    windows=hours.map(lambda texts: tuple(WINDOWS[text] for text in texts)),
)
claims = st.builds(
    Claims,
    budget=st.none() | st.just("budget_research"),
    expires_at=st.none() | times,
    permissions=st.sampled_from([(), ("llm:call",), PERMISSIONS]),
)
suspension_policies = st.none() | st.builds(SuspensionPolicy, refusals=_few, within=spans)
request_policies = st.builds(RequestPolicy, approvals=st.integers(1, 2), lifetime=spans)
_grant: dict[str, Any] = {
    "agent": agents,
    "conditions": conditions,
    "environment": environments,
    "grant": grant_ids,
    "selector": selectors,
}
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
    "archive": st.builds(Archive, digest=digests, start=st.integers(0, 9), stop=st.integers(0, 9)),
    "restore": st.builds(Restore, entries=st.integers(0, 2**53 - 1), root=digests),
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
        what=st.sampled_from(["secrets", "history", "agents", "grants", "leases", "requests", "rotations"]),
        name=st.none() | names,
        environment=st.none() | environments,
    ),
    "enroll": st.builds(Enroll, agent=agents, digest=digests, replace=st.booleans(), token=token_ids),
    "suspend": st.builds(Suspend, agent=agents),
    "resume": st.builds(Resume, agent=agents),
    "remove": st.builds(Remove, agent=agents),
    "limit-agent": st.builds(LimitAgent, agent=agents, rate=rates),
    "set-suspension-policy": st.builds(SetSuspensionPolicy, policy=suspension_policies),
    "grant": st.builds(IssueGrant, **_grant),
    "break-glass": st.builds(BreakGlass, **_grant, reason=reasons),
    "revoke": st.builds(Revoke, grant=grant_ids),
    "revoke-agent": st.builds(RevokeAgent, agent=agents),
    "revoke-all": st.builds(RevokeAll),
    "lease": st.builds(
        OpenLease, **_where, label=labels, lease=lease_ids, recipient=st.none() | digests, ttl=st.none() | spans
    ),
    "renew": st.builds(Renew, lease=lease_ids, ttl=st.none() | spans),
    "release": st.builds(Release, lease=lease_ids),
    "revoke-lease": st.builds(RevokeLease, lease=lease_ids),
    "request-access": st.builds(RequestAccess, **_where, access_request=access_request_ids, reason=reasons),
    "approve-request": st.builds(
        ApproveRequest, access_request=access_request_ids, conditions=conditions, grant=grant_ids
    ),
    "decline-request": st.builds(DeclineRequest, access_request=access_request_ids, reason=st.none() | reasons),
    "set-request-policy": st.builds(SetRequestPolicy, policy=request_policies),
    "seal": st.builds(Seal, reason=st.none() | reasons),
    "unseal": st.builds(Unseal),
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
        terms=terms,
    ),
    st.builds(NewBreakGlass, agent=agents, selector=selectors, environment=environments, terms=terms, reason=reasons),
    st.builds(NewAccessRequest, **_where, reason=reasons),
    st.builds(NewApproval, access_request=access_request_ids, terms=st.none() | terms),
    st.builds(NewLease, **_where, label=labels, ttl=st.none() | spans),
    st.builds(NewRotation, **_where, rotator=rotators),
    st.builds(NewPending, **_rotation, value=values.map(Sensitive)),
)
principals: st.SearchStrategy[Principal] = st.one_of(
    st.just(OPERATOR),
    st.just(OTHER_OPERATOR),
    st.just(VIEWER),
    st.builds(Agent, agents, st.none() | token_ids, st.none() | claims),
)
_AGENT_TYPES = ("lease", "renew", "release", "request-access")


@st.composite
def requests(draw: st.DrawFn, *, at: st.SearchStrategy[int] = times) -> Request:
    """A request by a principal that may often ask for it."""
    command = draw(commands)
    likely = (
        st.builds(Agent, agents, st.none(), st.none() | claims) if command.type in _AGENT_TYPES else st.just(OPERATOR)
    )
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
