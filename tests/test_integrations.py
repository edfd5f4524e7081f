"""keyring, pydantic-settings, Starlette and FastAPI: each the real package."""

import subprocess
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import keyring.backend
import keyring.errors
import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import ironsecrets
from interpreters import keyring_backend
from ironsecrets.audit import decode_entry
from tests.conftest import MASTER_KEY_TEXT, Opener

ENV = "production"


@pytest.fixture
def vault(opened: Opener) -> ironsecrets.Vault:
    made = opened()
    operator = made.operator("o")
    for name, value in (("openai/api-key", "sk-value"), ("service/user", "pass"), ("alone", "p2"), ("db/port", "5433")):
        operator.put(name, value, environment=ENV)
    for selector in ("openai/*", "service/*", "alone", "db/*"):
        operator.grant("agent_one", selector, environment=ENV)
    return made


@pytest.fixture
def configured(vault: ironsecrets.Vault, path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    token = vault.operator("o").enroll("agent_one").text()
    monkeypatch.setenv("IRONSECRETS_VAULT", str(path))
    monkeypatch.setenv("IRONSECRETS_TOKEN", token)
    monkeypatch.setenv("IRONSECRETS_ENV", ENV)
    monkeypatch.setenv("IRON_SECRETS_MASTER_KEY", MASTER_KEY_TEXT)
    monkeypatch.setattr(keyring_backend, "_vaults", {})
    return token


def test_the_keyring_backend_is_found_by_its_entry_point(configured: str) -> None:
    program = (
        "import keyring; print(type(keyring.get_keyring()).__module__); print(keyring.get_password('service', 'user'))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "pass", done.stderr
    assert "sk-value" not in done.stderr


def test_the_keyring_backend(configured: str, vault: ironsecrets.Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = keyring_backend.IronsecretsKeyring()
    assert backend.priority == 9
    assert backend.get_password("service", "user") == "pass"
    assert backend.get_password("alone", None) == "p2"
    assert backend.get_password("service", "somebody") is None
    assert backend.get_password("not granted", "at all") is None
    assert backend.get_password("billing", "key") is None
    credential = backend.get_credential("service", "user")
    assert credential is not None
    assert credential.password == "pass"
    with pytest.raises(keyring.errors.PasswordSetError, match="only reads"):
        backend.set_password("service", "user", "SECRET")
    with pytest.raises(keyring.errors.PasswordDeleteError):
        backend.delete_password("service", "user")
    vault.operator("o").suspend("agent_one")
    with pytest.raises(keyring.errors.KeyringError, match="suspended"):
        backend.get_password("service", "user")
    monkeypatch.delenv("IRONSECRETS_TOKEN")
    with pytest.raises(RuntimeError, match="IRONSECRETS_TOKEN"):
        _ = backend.priority


def test_settings_take_marked_fields_from_the_vault(vault: ironsecrets.Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = vault.acting_for("agent_one")
    monkeypatch.setenv("LOG_LEVEL", "debug")
    monkeypatch.setenv("OPENAI", "from the environment")

    class Settings(BaseSettings):
        openai: Annotated[SecretStr, ironsecrets.FromVault("openai/api-key")]
        port: Annotated[int, ironsecrets.FromVault("db/port")]
        aliased: Annotated[str, ironsecrets.FromVault("service/user")] = Field(alias="SERVICE_PASSWORD")
        log_level: str = "info"

        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *sources: PydanticBaseSettingsSource, **named: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (agent.settings_source(settings_cls, environment=ENV), *sources, *named.values())

    made = Settings()  # pyright: ignore
    assert made.openai.get_secret_value() == "sk-value"
    assert "sk-value" not in repr(made)
    assert (made.port, made.aliased, made.log_level) == (5433, "pass", "debug")
    assert not vault.operator("o").leases(), "a lease lasts as long as the reading"
    vault.operator("o").revoke_all()
    with pytest.raises(ironsecrets.Refused, match="no grant"):
        Settings()  # pyright: ignore
    refused = [raw for raw in vault.entries() if decode_entry(raw).unwrap().verdict == "no-grant"]
    assert len(refused) == 1, "an unmarked field asks for nothing"


def test_no_validation_error_shows_a_value(vault: ironsecrets.Vault) -> None:
    agent = vault.acting_for("agent_one")

    class Broken(BaseSettings):
        key: Annotated[str, ironsecrets.FromVault("openai/api-key")]
        number: Annotated[int, ironsecrets.FromVault("service/user")]
        missing: str

        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *sources: PydanticBaseSettingsSource, **named: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (agent.settings_source(settings_cls, environment=ENV),)

    class Listed(Broken):
        listed: Annotated[list[str], ironsecrets.FromVault("alone")]

    for settings, match in ((Broken, r"(?s)number.*missing"), (Listed, "field 'listed'")):
        with pytest.raises(ValueError, match=match) as caught:
            settings()  # pyright: ignore
        told = "".join(traceback.TracebackException.from_exception(caught.value).format())
        for value in ("sk-value", "'pass'", "p2"):
            assert value not in told


def test_fastapi(vault: ironsecrets.Vault) -> None:
    operator = vault.operator("o")
    token = operator.enroll("agent_one").text()
    app = FastAPI()
    agent = vault.acting_for("agent_one")
    Caller = Annotated[ironsecrets.AgentHandle, Depends(vault.calling_agent())]
    Key = Annotated[ironsecrets.LeaseHandle, Depends(agent.web_lease("openai/api-key", environment=ENV))]
    Other = Annotated[ironsecrets.LeaseHandle, Depends(agent.web_lease("billing", environment=ENV))]

    @app.get("/who")
    def who(caller: Caller) -> str:
        return caller.agent.id

    @app.get("/key")
    async def key(lease: Key) -> int:
        assert len(operator.leases()) == 1
        return len(lease.text())

    @app.get("/other")
    def other(lease: Other) -> str:
        return lease.text()

    with TestClient(app) as client:
        assert client.get("/who", headers={"Authorization": f"Bearer {token}"}).json() == "agent_one"
        for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": f"Basic {token}"}):
            answer = client.get("/who", headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        who_says = {"Authorization": f"Bearer {token}"}
        operator.suspend("agent_one")
        assert client.get("/who", headers=who_says).status_code == 403
        operator.resume("agent_one")
        operator.seal()
        assert client.get("/who", headers=who_says).json() == {"detail": "vault-sealed"}
        operator.unseal()
        assert client.get("/who", headers=who_says).status_code == 200
        operator.enroll("agent_one", replace=True)
        assert client.get("/who", headers=who_says).status_code == 401
        assert client.get("/key").json() == 8
        assert not operator.leases(), "released when the request is answered"
        answer = client.get("/other")
        assert (answer.status_code, answer.json()["detail"]) == (403, "no-grant")


def test_starlette_with_ic_tokens(vault: ironsecrets.Vault) -> None:
    tokens = ironsecrets.ICTokens("0123456789abcdef" * 4)
    operator = vault.operator("o")
    operator.grant("agent_researcher", "openai/*", environment=ENV, permission="llm:call")
    token = operator.enroll_ic("agent_researcher", tokens, budget="budget_research", permissions=["llm:call"]).text()
    calling = vault.calling_agent(authoriser=tokens)

    def answer(request: Request) -> PlainTextResponse:
        with calling(request).lease("openai/api-key", environment=ENV) as lease:
            return PlainTextResponse(f"{len(lease.text())}")

    with TestClient(Starlette(routes=[Route("/", answer)])) as client:
        assert client.get("/", headers={"Authorization": f"Bearer {token}"}).text == "8"
        refused = client.get("/", headers={"Authorization": f"Bearer {token[:-2]}AA"})
        assert (refused.status_code, refused.text) == (401, "ic-token-signature")
        operator.enroll_ic("agent_researcher", tokens, budget="budget_others", replace=True)
        replaced = client.get("/", headers={"Authorization": f"Bearer {token}"})
        assert (replaced.status_code, replaced.text) == (401, "token-revoked"), "authentic, and no longer valid"
