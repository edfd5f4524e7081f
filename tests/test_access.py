"""Access as its users see it: limits, hours, requests, the kill switch, and agents that try their luck."""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from returns.result import Success

import ironsecrets
from ironsecrets.audit import decode_entry
from properties.worlds import EPOCH, MASTER_KEY, SECOND, SetClock, world
from tests.conftest import Command, Opener

ENV = "production"


class Hosted:
    """A vault under a clock that is set, with a secret and an operator."""

    def __init__(self, opened: Opener) -> None:
        where = world()
        assert isinstance(where.clock, SetClock)
        self.clock = where.clock
        self.vault = opened(world=where)
        self.operator = self.vault.operator("olga")
        self.operator.put("openai/key", "sk-value", environment=ENV)
        self.agent = self.vault.acting_for("agent_one")

    def after(self, **span: int) -> None:
        self.clock.time += timedelta(**span) // timedelta(microseconds=1)

    def lease(self, name: str = "openai/key") -> str:
        """What a lease gives, or the code of the refusal."""
        try:
            with self.agent.lease(name, environment=ENV) as lease:
                return lease.text()
        except ironsecrets.Refused as refused:
            return refused.refusal.code


@pytest.fixture
def hosted(opened: Opener) -> Hosted:
    return Hosted(opened)


def test_a_rate_is_kept_and_refills(hosted: Hosted) -> None:
    hosted.operator.grant("agent_one", "openai/*", environment=ENV, rate="3/1m")
    assert [hosted.lease() for _ in range(4)] == ["sk-value"] * 3 + ["rate-limited"]
    hosted.after(seconds=20)
    assert [hosted.lease(), hosted.lease()] == ["sk-value", "rate-limited"]


def test_an_agents_own_limit_spans_its_grants(hosted: Hosted) -> None:
    hosted.operator.put("db/key", "other", environment=ENV)
    for selector in ("openai/*", "db/*"):
        hosted.operator.grant("agent_one", selector, environment=ENV)
    hosted.operator.limit("agent_one", "2/1h burst 2")
    assert [hosted.lease(), hosted.lease("db/key"), hosted.lease()] == ["sk-value", "other", "agent-rate-limited"]
    hosted.operator.limit("agent_one", None)
    assert hosted.lease() == "sk-value"


def test_hours_follow_the_zone_through_a_change_of_clocks(hosted: Hosted) -> None:
    """Berlin is at UTC+1 in the winter and at UTC+2 in the summer."""
    hosted.operator.grant("agent_one", "**", environment=ENV, windows=["Mon-Fri 08:00-18:00 Europe/Berlin"])
    for moment, expected in (
        ("2025-10-24T06:00", "sk-value"),
        ("2025-10-24T05:59", "outside-window"),
        ("2025-10-24T15:59", "sk-value"),
        ("2025-10-24T16:00", "outside-window"),
        ("2025-10-25T10:00", "outside-window"),
        ("2025-10-27T06:59", "outside-window"),
        ("2025-10-27T07:00", "sk-value"),
        ("2025-10-27T16:59", "sk-value"),
        ("2026-03-30T06:00", "sk-value"),
    ):
        at = int(datetime.fromisoformat(moment + ":00+00:00").timestamp()) * SECOND
        if at >= hosted.clock.time:
            hosted.clock.time = at
            assert hosted.lease() == expected, moment


def test_a_live_lease_pauses_outside_its_hours(hosted: Hosted) -> None:
    hosted.clock.time = int(datetime(2025, 10, 24, 15, 55, tzinfo=UTC).timestamp()) * SECOND
    hosted.operator.grant(
        "agent_one", "**", environment=ENV, ttl=timedelta(days=3), windows=["Mon-Fri 08:00-18:00 Europe/Berlin"]
    )
    lease = hosted.agent.lease("openai/key", environment=ENV)
    hosted.after(minutes=5)
    with pytest.raises(ironsecrets.Refused, match="other hours"):
        lease.text()
    hosted.clock.time = int(datetime(2025, 10, 27, 7, 0, tzinfo=UTC).timestamp()) * SECOND
    assert lease.text() == "sk-value", "taken anew, not the zeros that were left"


def test_not_before_uses_and_permission(hosted: Hosted) -> None:
    begins = datetime.fromtimestamp(EPOCH / SECOND + 3600, UTC)
    hosted.operator.grant("agent_one", "**", environment=ENV, not_before=begins, uses=1, permission="llm:call")
    assert hosted.lease() == "grant-not-yet"
    hosted.after(hours=1)
    assert hosted.lease() == "permission-missing"
    hosted.agent = hosted.vault.acting_for("agent_one", permissions=["data:read", "llm:call"])
    assert [hosted.lease(), hosted.lease()] == ["sk-value", "grant-used-up"]


def test_a_naive_time_and_nonsense_are_refused(hosted: Hosted) -> None:
    for options, code in (
        ({"not_before": datetime(2030, 1, 1)}, "bad-grant"),  # noqa: DTZ001
        ({"rate": "many"}, "bad-rate"),
        ({"rate": "1/400d"}, "bad-rate"),
        ({"windows": "Mon-Fri 8-18 Europe/Berlin"}, "bad-window"),
        ({"windows": ["Mon 09:00-10:00 Europe/Atlantis"]}, "bad-zone"),
        ({"windows": ["Mon 09:00-10:00 ../../etc/passwd"]}, "bad-window"),
        ({"permission": "LLM Call"}, "bad-permission"),
    ):
        with pytest.raises(ironsecrets.Refused) as refused:
            hosted.operator.grant("agent_one", "**", environment=ENV, **options)  # pyright: ignore
        assert refused.value.refusal.code == code


def test_break_glass_is_short_and_loud(hosted: Hosted, caplog: pytest.LogCaptureFixture, path: Path) -> None:
    heard: list[ironsecrets.Event] = []
    with hosted.vault.subscribe(heard.append, interval=timedelta(milliseconds=10)) as subscription:
        with pytest.raises(ironsecrets.Refused, match="within an hour"):
            hosted.operator.break_glass(
                "agent_one", "**", environment=ENV, reason="fire", expires_in=timedelta(hours=1, microseconds=1)
            )
        grant = hosted.operator.break_glass("agent_one", "openai/key", environment=ENV, reason="fire")
        subscription.poll()
    (event,) = [event for event in heard if event.kind == "break-glass"]
    assert (event.grant, event.agent, event.reason) == (grant, "agent_one", "fire")
    assert hosted.lease() == "sk-value"
    hosted.after(minutes=15)
    assert hosted.lease() == "grant-expired"
    sink = ironsecrets.LoggingSink()
    with caplog.at_level("INFO", "ironsecrets.audit"):
        sink.deliver(0, list(hosted.vault.entries()))
    assert [record.levelname for record in caplog.records if record.message == "break-glass applied"] == ["CRITICAL"]
    hosted.operator.break_glass("agent_two", "x", environment=ENV, reason="fire", expires_in=timedelta(hours=1))


def test_requests_are_told_approved_and_granted(hosted: Hosted) -> None:
    heard: list[ironsecrets.Event] = []
    with hosted.vault.subscribe(heard.append, interval=timedelta(hours=1)) as subscription:
        key = _known(hosted)
        (asked,) = hosted.operator.requests()
        assert (asked.id, asked.agent, asked.name, asked.reason) == (key, "agent_one", "openai/key", "nightly job")
        hosted.operator.request_policy(approvals=2)
        assert hosted.operator.approve(key, ttl=timedelta(minutes=5), uses=2) is None
        assert hosted.lease() == "no-grant"
        with pytest.raises(ironsecrets.Refused, match="another operator"):
            hosted.operator.approve(key)
        oscar = hosted.vault.operator("oscar")
        with pytest.raises(ironsecrets.Refused) as differs:
            oscar.approve(key, ttl=timedelta(days=5))
        assert differs.value.refusal.code == "conditions-differ"
        grant = oscar.approve(key)
        assert grant is not None
        assert [hosted.lease(), hosted.lease(), hosted.lease()] == ["sk-value", "sk-value", "grant-used-up"]
        subscription.poll()
    kinds = [event.kind for event in heard]
    assert [kind for kind in kinds if kind in ("request", "propose", "approve")] == ["request", "propose", "approve"]
    assert not hosted.operator.requests()


def _known(hosted: Hosted) -> str:
    hosted.operator.revoke(hosted.operator.grant("agent_one", "nothing", environment=ENV))
    return hosted.agent.request_access("openai/key", environment=ENV, reason="nightly job")


def test_requests_expire_and_are_declined(hosted: Hosted) -> None:
    key = _known(hosted)
    with pytest.raises(ironsecrets.Refused, match="already"):
        hosted.agent.request_access("openai/key", environment=ENV, reason="again")
    hosted.operator.decline(key, reason="no")
    again = hosted.agent.request_access("openai/key", environment=ENV, reason="again")
    hosted.after(days=1)
    with pytest.raises(ironsecrets.Refused) as expired:
        hosted.operator.approve(again)
    assert expired.value.refusal.code == "request-expired"
    assert not hosted.operator.requests()
    for number in range(16):
        hosted.agent.request_access(f"k/{number}", environment=ENV, reason="greed")
    with pytest.raises(ironsecrets.Refused) as many:
        hosted.agent.request_access("k/17", environment=ENV, reason="greed")
    assert many.value.refusal.code == "too-many-requests"


def test_removing_an_agent_takes_its_requests_along(hosted: Hosted) -> None:
    key = _known(hosted)
    hosted.operator.remove("agent_one")
    assert not hosted.operator.requests()
    with pytest.raises(ironsecrets.Refused) as gone:
        hosted.operator.approve(key)
    assert gone.value.refusal.code == "unknown-request"
    assert not hosted.operator.grants()


def test_the_kill_switch_holds_in_every_process(path: Path, opened: Opener) -> None:
    hosted = Hosted(opened)
    hosted.operator.grant("agent_one", "**", environment=ENV, expires_in=timedelta(days=999))
    program = f"""
import sys, ironsecrets
vault = ironsecrets.open_vault({str(path)!r}, master_key=bytes.fromhex({MASTER_KEY.hex()!r}))
lease = vault.acting_for("agent_one").lease("openai/key", environment="production")
print(lease.text(), flush=True)
for line in sys.stdin:
    try:
        print(lease.text(), flush=True)
    except ironsecrets.Refused as refused:
        print(refused.refusal.code, flush=True)
        try:
            vault.acting_for("agent_one").lease("openai/key", environment="production")
        except ironsecrets.Refused as refused:
            print(refused.refusal.code, flush=True)
"""
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child:
        assert child.stdout.readline() == "sk-value\n"
        before = hosted.vault.state.log.size
        hosted.operator.seal(reason="drill")
        assert hosted.vault.state.log.size == before + 1, "one entry"
        child.stdin.write("use\n")
        assert [child.stdout.readline(), child.stdout.readline()] == ["vault-sealed\n", "vault-sealed\n"]
        hosted.operator.unseal()
        child.stdin.write("use\n")
        assert child.stdout.readline() == "unknown-lease\n", "its lease stays ended"
        child.stdin.close()
    assert hosted.lease() == "sk-value"
    assert isinstance(hosted.vault.verify(), Success)


def test_repeated_refusals_suspend_and_resuming_forgives(hosted: Hosted) -> None:
    hosted.operator.grant("agent_one", "openai/*", environment=ENV)
    live = hosted.agent.lease("openai/key", environment=ENV)
    heard: list[ironsecrets.Event] = []
    with hosted.vault.subscribe(heard.append, interval=timedelta(hours=1)) as subscription:
        verdicts = [hosted.lease(f"guess/{number}") for number in range(22)]
        subscription.poll()
    assert verdicts == ["no-grant"] * 21 + ["agent-suspended"], "the twenty-first is one too many"
    (event,) = [event for event in heard if event.kind == "suspend"]
    assert event.leases == (live.id,)
    with pytest.raises(ironsecrets.Refused, match="suspended"):
        live.text()
    (record,) = hosted.operator.agents()
    assert record.suspended_for == "refusals"
    assert isinstance(hosted.vault.verify(), Success), "the log replays to the same"
    hosted.operator.resume("agent_one")
    assert hosted.lease() == "sk-value"
    assert hosted.lease("guess/x") == "no-grant"


def test_slow_refusals_and_other_codes_do_not_suspend(hosted: Hosted) -> None:
    hosted.operator.grant("agent_one", "openai/*", environment=ENV, rate="1/1d")
    assert hosted.lease() == "sk-value"
    assert {hosted.lease() for _ in range(50)} == {"rate-limited"}
    for _ in range(60):
        hosted.after(minutes=1)
        assert hosted.lease("guess") == "no-grant"
    hosted.operator.auto_suspend(within=None)
    assert {hosted.lease("guess") for _ in range(100)} == {"no-grant"}


def test_an_agent_cannot_learn_what_exists(hosted: Hosted) -> None:
    """The same answer, the same log shape, and the same request, for names that exist and names that do not."""
    hosted.operator.put("hidden/there", "x", environment=ENV)
    hosted.operator.revoke(hosted.operator.grant("agent_one", "nothing", environment=ENV))
    shapes: list[set[str]] = []
    for name in ("hidden/there", "hidden/away"):
        said = set[str]()
        for attempt in (
            lambda name=name: hosted.agent.lease(name, environment=ENV),
            lambda name=name: hosted.agent.lease(name, environment="staging"),
            lambda name=name: hosted.agent.lease(name, environment=ENV, ttl=timedelta(days=9), label="previous"),
            lambda name=name: hosted.agent.lease_sealed(name, environment=ENV, to=PUBLIC),
        ):
            before = hosted.vault.state.log.size
            with pytest.raises(ironsecrets.Refused) as refused:
                attempt()
            (raw,) = list(hosted.vault.entries(before))
            said.add(f"{refused.value}".replace(name, "NAME"))
            shape = raw.decode().replace(name, "NAME")
            shape = re.sub(r'"(rq_|ls_|ar_)[0-9a-f]+"|"(at|seq)":[0-9]+', "ID", shape)
            said.add(shape)
        key = hosted.agent.request_access(name, environment=ENV, reason="curious")
        assert key.startswith("ar_")
        shapes.append(said)
    assert shapes[0] == shapes[1]


PUBLIC = ironsecrets.RuntimeKey.generate("x25519").public


def test_every_decision_about_access_is_in_the_log(hosted: Hosted) -> None:
    hosted.operator.seal()
    hosted.operator.unseal()
    hosted.operator.auto_suspend(refusals=3)
    types = [decode_entry(raw).unwrap().command.type for raw in hosted.vault.entries()]
    assert types[-3:] == ["seal", "unseal", "set-suspension-policy"]


def test_the_command_line_of_access(made: Command) -> None:
    made.ok("put", "openai/key", stdin="sk-value")
    grant = ("grant", "agent_one", "openai/*", "--permission", "llm:call", "--rate", "2/1h", "--uses", "9")
    made.ok(*grant, "--window", "daily 00:00-24:00 Europe/Berlin", "--not-before", "2025-01-01T00:00Z")
    (listed,) = json.loads(made.ok("grants", "--json").text)
    assert listed["rate"] == "2/1h"
    assert listed["windows"] == ["daily 00:00-24:00 Europe/Berlin"]
    assert listed["permission"] == "llm:call"
    child = ("--set", "K=openai/key", "--", "sh", "-c", "printf %s $K")
    assert "permission" in made.fails(3, "run", "--agent", "agent_one", *child)
    run = ("run", "--agent", "agent_one", "--permission", "llm:call", *child)
    assert [made.ok(*run).text, made.ok(*run).text] == ["sk-value", "sk-value"]
    assert "rate" in made.fails(3, *run)
    key = made.ok("request", "ask", "billing/key", "--agent", "agent_one", "--reason", "month end").text.strip()
    made.ok("request", "policy", "--approvals", "2")
    assert "another operator" in made.ok("--as", "olga", "request", "approve", key, "--ttl", "5m").text
    assert made.fails(3, "--as", "olga", "request", "approve", key)
    (open_one,) = json.loads(made.ok("request", "list", "--json").text)
    assert (open_one["request"], open_one["approvals"]) == (key, ["olga"])
    assert made.ok("--as", "oscar", "request", "approve", key).text.startswith("gr_")
    assert made.fails(6, "request", "decline", key)
    assert "no open requests" in made.ok("request", "list").text
    made.ok("seal", "--reason", "drill")
    assert "SEALED" in made.ok("status").text
    assert "sealed" in made.fails(3, *run)
    assert made.fails(3, "seal")
    made.ok("unseal")
    made.ok("grant", "agent_two", "openai/key", "--break-glass", "--reason", "fire")
    assert "BREAK-GLASS" in made.ok("status").text
    assert "BREAK-GLASS: fire" in made.ok("grants").text
    made.ok("agent", "auto-suspend", "--refusals", "1", "--within", "1h")
    for _ in range(2):
        made.fails(3, "run", "--agent", "agent_two", "--set", "K=nope", "--", "true")
    assert "refused too often" in made.ok("agent", "list").text
    made.ok("agent", "resume", "agent_two")
    made.ok("agent", "limit", "agent_two", "1/1h")
    assert made.run("agent", "limit", "agent_two").status == 2
    assert made.run("grant", "agent_two", "x", "--reason", "why").status == 2
    assert made.run("grant", "agent_two", "x", "--not-before", "tomorrow").status == 2
    made.ok("audit", "verify")
