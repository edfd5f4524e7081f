"""IC tokens, exactly as the platform makes them, and everything that only looks like one."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from returns.result import Failure, Success

import ironsecrets
from properties.worlds import EPOCH, SECOND, SetClock, world
from tests.conftest import Command, Opener

SECRET = "0123456789abcdef" * 4
NOW = EPOCH // SECOND
ENV = "production"


def b64(raw: bytes | str) -> str:
    return base64.urlsafe_b64encode(raw.encode() if isinstance(raw, str) else raw).rstrip(b"=").decode()


def claims(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "agent_id": "agent_researcher",
        "budget_id": "budget_research",
        "iat": NOW,
        "exp": NOW + 3600,
        "iss": "iron-control-panel",
        "permissions": ["llm:call", "data:read"],
    }
    found |= changes
    return {name: value for name, value in found.items() if value is not ...}


def signed(payload: str | dict[str, Any], header: str | dict[str, Any] | None = None, secret: str = SECRET) -> str:
    """By hand, so that what no library would sign can be signed."""
    header = {"alg": "HS256", "typ": "JWT"} if header is None else header
    parts = [b64(part if isinstance(part, str) else json.dumps(part)) for part in (header, payload)]
    tag = hmac.digest(secret.encode(), ".".join(parts).encode(), "sha256")
    return ".".join((*parts, b64(tag)))


@pytest.fixture
def tokens() -> ironsecrets.ICTokens:
    return ironsecrets.ICTokens(SECRET, clock=SetClock())


def test_a_token_of_the_platform_is_an_agent(tokens: ironsecrets.ICTokens) -> None:
    for made in (claims(), claims(exp=...), claims(exp=None)):
        agent = tokens.authorise(jwt.encode(made, SECRET, algorithm="HS256")).unwrap()
        assert agent.id == "agent_researcher"
        assert agent.claims is not None
        assert agent.claims.permissions == ("data:read", "llm:call")
        assert agent.claims.budget == "budget_research"
        # In force while now <= exp: its last second is a whole one.
        assert agent.claims.expires_at == ((NOW + 3601) * SECOND if made.get("exp") else None)


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (signed(claims(), {"alg": "none"}), "ic-token-algorithm"),
        (b64('{"alg":"none"}') + "." + b64(json.dumps(claims())) + ".", "ic-token-algorithm"),
        (signed(claims(), {"alg": "HS512", "typ": "JWT"}), "ic-token-algorithm"),
        (signed(claims(), {"alg": "RS256", "typ": "JWT"}), "ic-token-algorithm"),
        (signed(claims(), {"alg": "hs256"}), "ic-token-algorithm"),
        (signed(claims(), {"typ": "JWT"}), "ic-token-algorithm"),
        (signed(claims(), {"alg": "HS256", "crit": ["exp"]}), "ic-token-malformed"),
        (signed(claims(), {"alg": "HS256", "jwk": {"kty": "oct", "k": "AA"}}), "ic-token-malformed"),
        (signed(claims(), '{"alg":"HS256","alg":"none"}'), "ic-token-malformed"),
        (signed(claims(), secret="f" * 64), "ic-token-signature"),
        (signed(claims())[:-2] + "AA", "ic-token-signature"),
        (signed(claims(iss="somebody")), "ic-token-claims"),
        (signed(claims(iss=...)), "ic-token-claims"),
        (signed(claims(agent_id="agent_SHOUT")), "ic-token-claims"),
        (signed(claims(agent_id="agent_short")), "ic-token-claims"),
        (signed(claims(agent_id="agent_" + "x" * 33)), "ic-token-claims"),
        (signed(claims(agent_id="researcher")), "ic-token-claims"),
        (signed(claims(agent_id="agent_researcher\n")), "ic-token-claims"),
        (signed(claims(budget_id="money")), "ic-token-claims"),
        (signed(claims(budget_id=...)), "ic-token-claims"),
        (signed(claims(permissions="llm:call")), "ic-token-claims"),
        (signed(claims(permissions=["llm:call", 7])), "ic-token-claims"),
        (signed(claims(permissions=[f"p:{n}" for n in range(65)])), "ic-token-claims"),
        (signed(claims(exp="soon")), "ic-token-claims"),
        (signed(claims(exp=1e400)), "ic-token-malformed"),
        (signed(claims(exp=10**18)), "ic-token-claims"),
        (signed(claims(iat=-1)), "ic-token-claims"),
        (signed(claims(iat=True)), "ic-token-claims"),
        (signed(claims(nbf=NOW + 9999)), "ic-token-claims"),
        (signed(claims(admin=True)), "ic-token-claims"),
        (signed('{"agent_id":"agent_researcher","agent_id":"agent_somebody"}'), "ic-token-malformed"),
        (signed("[]"), "ic-token-malformed"),
        (signed("[" * 3000 + "]" * 3000), "ic-token-malformed"),
        (signed("NaN"), "ic-token-malformed"),
        (signed("not json"), "ic-token-malformed"),
        ("", "ic-token-malformed"),
        ("a.b", "ic-token-malformed"),
        (signed(claims()) + ".x", "ic-token-malformed"),
        ("ü.ü.ü", "ic-token-malformed"),
        (signed(claims()) + "\n", "ic-token-malformed"),
        (signed(claims(permissions=["p" * 60] * 140)), "ic-token-too-large"),
        ("a" * 8193, "ic-token-too-large"),
    ],
    ids=lambda text: text[-24:],
)
def test_everything_else_is_refused(tokens: ironsecrets.ICTokens, token: str, code: str) -> None:
    match tokens.authorise(token):
        case Failure(refusal):
            assert refusal.code == code
        case other:
            raise AssertionError(other)


def test_the_size_limit_is_exactly_8_kib(tokens: ironsecrets.ICTokens) -> None:
    assert tokens.authorise("a" * 8192).failure().code == "ic-token-malformed"


@pytest.mark.parametrize("secret", ["", "x" * 31, "é" * 15])
def test_a_short_secret_is_refused(secret: str) -> None:
    with pytest.raises(ironsecrets.Refused) as refused:
        ironsecrets.ICTokens(secret)
    assert refused.value.refusal.code == "ic-secret-too-short"
    ironsecrets.ICTokens("é" * 16)


def test_the_secret_shows_itself_to_nobody(tokens: ironsecrets.ICTokens) -> None:
    assert SECRET not in repr(tokens)
    token = tokens.authorise(signed(claims()))
    assert "researcher" in repr(token)
    tokens.wipe()
    with pytest.raises(ValueError, match="wiped"):
        tokens.authorise(signed(claims()))
    with pytest.raises(ValueError, match="wiped"):
        tokens.issue("agent_researcher", budget="budget_research")


class Panel:
    """A vault beside a control panel, one clock for both."""

    def __init__(self, opened: Opener) -> None:
        where = world()
        assert isinstance(where.clock, SetClock)
        self.clock = where.clock
        self.tokens = ironsecrets.ICTokens(SECRET, clock=self.clock)
        self.vault = opened(world=where)
        self.operator = self.vault.operator("olga")
        self.operator.put("openai/key", "sk-value", environment=ENV)
        self.operator.grant("agent_researcher", "openai/*", environment=ENV, permission="llm:call")

    def lease(self, token: str) -> str:
        try:
            with self.vault.agent(token, authoriser=self.tokens).lease("openai/key", environment=ENV) as lease:
                return lease.text()
        except ironsecrets.Refused as refused:
            return refused.refusal.code

    def enroll(self, **options: Any) -> str:
        options = {"budget": "budget_research", "permissions": ["llm:call"]} | options
        return self.operator.enroll_ic("agent_researcher", self.tokens, **options).text()


@pytest.fixture
def panel(opened: Opener) -> Panel:
    return Panel(opened)


def test_one_valid_token_and_regeneration_revokes(panel: Panel) -> None:
    first = panel.enroll()
    assert (
        jwt.decode(first, SECRET, algorithms=["HS256"], options={"verify_iat": False})["agent_id"] == "agent_researcher"
    )
    live = panel.vault.agent(first, authoriser=panel.tokens).lease("openai/key", environment=ENV)
    assert panel.lease(first) == "sk-value"
    with pytest.raises(ironsecrets.Refused, match="token"):
        panel.enroll(permissions=["llm:call", "data:read"])
    panel.clock.time += SECOND
    second = panel.enroll(replace=True)
    assert [panel.lease(first), panel.lease(second)] == ["token-revoked", "sk-value"]
    with pytest.raises(ironsecrets.Refused, match="replaced"):
        live.text()
    # A vault's own token takes its place as well.
    own = panel.operator.enroll("agent_researcher", replace=True).text()
    assert panel.lease(second) == "token-revoked"
    with pytest.raises(ironsecrets.Refused, match="permission"):
        panel.vault.agent(own).lease("openai/key", environment=ENV)


def test_expiry_permission_suspension_and_removal_hold_at_once(panel: Panel) -> None:
    token = panel.enroll(expires_in=timedelta(hours=1))
    panel.clock.time += 3600 * SECOND
    assert panel.lease(token) == "sk-value", "in force while now <= exp"
    panel.clock.time += SECOND
    assert panel.lease(token) == "token-expired"
    token = panel.enroll(replace=True, permissions=["data:read"])
    assert panel.lease(token) == "permission-missing"
    panel.clock.time += SECOND
    token = panel.enroll(replace=True)
    live = panel.vault.agent(token, authoriser=panel.tokens).lease("openai/key", environment=ENV)
    panel.operator.suspend("agent_researcher")
    assert panel.lease(token) == "agent-suspended"
    with pytest.raises(ironsecrets.Refused, match="suspended"):
        live.text()
    panel.operator.resume("agent_researcher")
    assert panel.lease(token) == "sk-value"
    panel.operator.remove("agent_researcher")
    assert panel.lease(token) == "unknown-agent"


def test_a_token_that_the_panel_made_is_adopted(panel: Panel) -> None:
    token = jwt.encode(claims(), SECRET, algorithm="HS256")
    assert panel.lease(token) == "token-revoked", "authentic, and not enrolled"
    assert panel.operator.adopt_ic(token, panel.tokens) == "agent_researcher"
    assert panel.lease(token) == "sk-value"
    with pytest.raises(ironsecrets.Refused) as refused:
        panel.operator.adopt_ic(signed(claims(), secret="e" * 64), panel.tokens)
    assert refused.value.refusal.code == "ic-token-signature"
    assert isinstance(panel.vault.verify(), Success)
    log = b"\n".join(panel.vault.entries())
    assert token.encode() not in log
    assert b"sk-value" not in log
    assert hashlib.sha256(token.encode()).hexdigest().encode() not in log, "a digest with its label"
    assert b'"permissions":["data:read","llm:call"]' in log


def test_on_the_command_line(made: Command, tmp_path: Path) -> None:
    made.env["IC_TOKEN_SECRET"] = SECRET
    made.ok("put", "openai/key", stdin="sk-value")
    token = made.ok(
        "agent", "add", "agent_researcher", "--ic-budget", "budget_research", "--permission", "llm:call"
    ).text
    assert jwt.decode(token.strip(), SECRET, algorithms=["HS256"])["permissions"] == ["llm:call"]
    other = signed(claims(agent_id="agent_assistant"))
    assert "agent_assistant" in made.ok("agent", "adopt", stdin=other).text
    line = made.fails(3, "agent", "adopt", stdin=signed(claims(), secret="d" * 64))
    assert "not signed with this secret" in line
    assert made.run("agent", "add", "agent_x", "--permission", "llm:call").status == 2
    del made.env["IC_TOKEN_SECRET"]
    assert "32 bytes" in made.fails(3, "agent", "adopt", stdin=other)
