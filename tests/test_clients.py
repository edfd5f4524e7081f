"""Real clients against a real HTTP server: the key is there when a request is sent, and nowhere afterwards."""

import asyncio
import contextlib
import io
import logging
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
import requests

import ironsecrets
from tests.conftest import Opener
from tests.provider import Provider

ENV = "production"
FIRST, SECOND = "sk-proj-first-0123456789", "sk-proj-second-987654321"


class Host:
    def __init__(self, opened: Opener) -> None:
        self.vault = opened()
        self.operator = self.vault.operator("o")
        self.put(FIRST)
        self.grant = self.operator.grant("agent_one", "openai/*", environment=ENV)
        self.agent = self.vault.acting_for("agent_one")

    def put(self, value: str) -> None:
        self.operator.put("openai/key", value, environment=ENV)


@pytest.fixture
def host(opened: Opener) -> Host:
    return Host(opened)


CLIENTS = [pytest.param(httpx, id="httpx"), pytest.param(httpx2, id="httpx2")]


@pytest.mark.parametrize("module", CLIENTS)
def test_httpx_sets_the_header_at_send_time_and_keeps_none(host: Host, provider: Provider, module: Any) -> None:
    auth = host.agent.httpx_auth("openai/key", environment=ENV)
    assert isinstance(auth, module.Auth)
    with module.Client(auth=auth) as client:
        request = client.build_request("POST", provider.url + "/v1", json={"a": 1})
        assert "authorization" not in request.headers
        response = client.send(request)
        assert response.status_code == 200
        assert "authorization" not in response.request.headers
        host.put(SECOND)
        client.get(provider.url)
        assert provider.given_keys() == [FIRST, SECOND], "a rotated value is used on the next request"
        host.operator.revoke(host.grant)
        with pytest.raises(ironsecrets.Refused, match="no grant"):
            client.get(provider.url)
    assert len(provider.seen) == 2, "nothing was sent without it"
    assert FIRST not in repr(auth)


@pytest.mark.parametrize("module", CLIENTS)
def test_httpx_async(host: Host, provider: Provider, module: Any) -> None:
    async def run() -> None:
        async with module.AsyncClient(auth=host.agent.httpx_auth("openai/key", environment=ENV)) as client:
            answers = await asyncio.gather(*(client.get(provider.url) for _ in range(5)))
            assert {answer.status_code for answer in answers} == {200}
            assert all("authorization" not in answer.request.headers for answer in answers)
            provider.accepts = SECOND
            provider.before_answer = lambda: host.put(SECOND) if len(provider.seen) == 6 else None
            assert (await client.get(provider.url)).status_code == 200

    asyncio.run(run())
    assert provider.given_keys() == [FIRST] * 6 + [SECOND]


@pytest.mark.parametrize("module", CLIENTS)
def test_httpx_refreshes_once_on_401(host: Host, provider: Provider, module: Any) -> None:
    provider.accepts = SECOND
    before = host.vault.state.leases.by_id
    with module.Client(auth=host.agent.httpx_auth("openai/key", environment=ENV)) as client:
        provider.before_answer = lambda: host.put(SECOND) if len(provider.seen) == 1 else None
        response = client.post(provider.url, json={"body": "again"})
        assert response.status_code == 200, "the value was rotated while the request was under way"
        assert [seen[":body"] for seen in provider.seen] == ['{"body":"again"}'] * 2
        assert provider.given_keys() == [FIRST, SECOND]
        provider.accepts = "something else"
        assert client.get(provider.url).status_code == 401
        assert len(provider.seen) == 4, "once, and not again"
        streamed = client.post(provider.url, content=iter([b"a", b"b"]))
        assert streamed.status_code == 401
        assert len(provider.seen) == 5, "a body that streamed is gone, and nothing is sent twice"
        assert all("authorization" not in one.request.headers for one in (response, streamed, *response.history))
    assert before is not None


@pytest.mark.parametrize("module", CLIENTS)
def test_httpx_with_a_header_of_its_own_and_redirects(host: Host, provider: Provider, module: Any) -> None:
    other = Provider()
    try:
        auth = host.agent.httpx_auth("openai/key", environment=ENV, header="x-api-key", scheme="")
        with module.Client(auth=auth) as client:
            client.get(provider.url, headers={"x-api-key": "placeholder"})
            assert provider.seen[0]["x-api-key"] == FIRST
        auth = host.agent.httpx_auth("openai/key", environment=ENV)
        with module.Client(auth=auth, follow_redirects=True) as client:
            response = client.get(f"{provider.url}/away?{other.url}/v1")
            assert response.status_code == 200
        assert "authorization" not in other.seen[0], "another origin does not get the key"
    finally:
        other.close()


def test_requests(host: Host, provider: Provider) -> None:
    other = Provider()
    try:
        with requests.Session() as session:
            session.auth = host.agent.requests_auth("openai/key", environment=ENV)
            response = session.post(provider.url, json={"a": 1})
            assert response.status_code == 200
            assert "authorization" not in response.request.headers
            host.put(SECOND)
            session.get(provider.url)
            assert provider.given_keys() == [FIRST, SECOND]
            provider.accepts = "third"
            provider.before_answer = lambda: host.put("third") if len(provider.seen) == 3 else None
            response = session.post(provider.url, data="body")
            assert response.status_code == 200
            assert provider.given_keys()[2:] == [SECOND, "third"]
            assert [seen[":body"] for seen in provider.seen[2:]] == ["body"] * 2
            assert len(response.history) == 1
            provider.accepts = "never"
            assert session.get(provider.url).status_code == 401
            assert len(provider.seen) == 6
            provider.accepts = None
            for header in ("Authorization", "x-api-key"):
                session.auth = host.agent.requests_auth("openai/key", environment=ENV, header=header)
                response = session.get(f"{provider.url}/away?{other.url}/v1")
                assert response.status_code == 200
                assert header not in response.request.headers
                assert header not in response.history[0].request.headers
            assert not [seen for seen in other.seen if "authorization" in seen or "x-api-key" in seen]
            other.accepts = "never"
            assert session.get(f"{provider.url}/away?{other.url}/v1").status_code == 401
            assert not [seen for seen in other.seen if "x-api-key" in seen], "nor after a 401 from there"
            host.operator.revoke_all()
            with pytest.raises(ironsecrets.Refused):
                session.get(provider.url)
    finally:
        other.close()


ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def test_openai_with_an_http_client(host: Host, provider: Provider) -> None:
    for module in (httpx2, httpx):
        client = module.Client(auth=host.agent.httpx_auth("openai/key", environment=ENV))
        with openai.OpenAI(api_key="not-used", base_url=provider.url, http_client=client) as sdk:
            host.put(FIRST)
            assert sdk.chat.completions.create(**ASK).choices[0].message.content == "hello"
            host.put(SECOND)
            sdk.chat.completions.create(**ASK)
            assert FIRST not in str(vars(sdk))
            assert SECOND not in str(vars(sdk))
    assert provider.given_keys() == [FIRST, SECOND] * 2


def test_openai_with_a_key_provider(host: Host, provider: Provider) -> None:
    with openai.OpenAI(api_key=host.agent.key_provider("openai/key", environment=ENV), base_url=provider.url) as sdk:
        sdk.chat.completions.create(**ASK)
        host.put(SECOND)
        sdk.chat.completions.create(**ASK)
        host.operator.revoke_all()
        with pytest.raises(ironsecrets.Refused):
            sdk.chat.completions.create(**ASK)

    async def run() -> None:
        host.operator.grant("agent_one", "openai/*", environment=ENV)
        key = host.agent.key_provider("openai/key", environment=ENV, asynchronous=True)
        async with openai.AsyncOpenAI(api_key=key, base_url=provider.url) as sdk:
            await sdk.chat.completions.create(**ASK)
        auth = host.agent.httpx_auth("openai/key", environment=ENV)
        client = httpx2.AsyncClient(auth=auth)
        async with openai.AsyncOpenAI(api_key="not-used", base_url=provider.url, http_client=client) as sdk:
            await sdk.chat.completions.create(**ASK)

    asyncio.run(run())
    assert provider.given_keys() == [FIRST, SECOND, SECOND, SECOND]


def test_anthropic(host: Host, provider: Provider) -> None:
    ask: dict[str, Any] = {**ASK, "max_tokens": 5}
    client = httpx2.Client(auth=host.agent.httpx_auth("openai/key", environment=ENV, header="x-api-key", scheme=""))
    with anthropic.Anthropic(api_key="not-used", base_url=provider.url, http_client=client) as sdk:
        sdk.messages.create(**ask)
        host.put(SECOND)
        sdk.messages.create(**ask)
    assert [seen["x-api-key"] for seen in provider.seen] == [FIRST, SECOND]

    async def run() -> None:
        auth = host.agent.httpx_auth("openai/key", environment=ENV)
        client = httpx2.AsyncClient(auth=auth)
        async with anthropic.AsyncAnthropic(api_key="not-used", base_url=provider.url, http_client=client) as sdk:
            await sdk.messages.create(**ask)

    asyncio.run(run())
    assert provider.seen[-1]["authorization"] == f"Bearer {SECOND}"


@contextlib.contextmanager
def everything_logged() -> Iterator[io.StringIO]:
    """All loggers at DEBUG, into one text."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    names = ("httpx", "httpx2", "httpcore", "httpcore2", "openai", "anthropic", "requests", "urllib3", "ironsecrets")
    before = {name: logging.getLogger(name).level for name in names} | {"": root.level}
    for name in before:
        logging.getLogger(name).setLevel(logging.DEBUG)
    root.addHandler(handler)
    try:
        yield stream
    finally:
        root.removeHandler(handler)
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def test_no_log_at_debug_and_no_traceback_with_locals_shows_the_key(host: Host, provider: Provider) -> None:
    told: list[str] = []

    def failing(work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:
            told.append("".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()))
        else:
            raise AssertionError("it should have failed")

    nobody = "http://127.0.0.1:1"
    with everything_logged() as logged:
        for header, scheme in (("Authorization", "Bearer"), ("x-api-key", "")):
            auth = host.agent.httpx_auth("openai/key", environment=ENV, header=header, scheme=scheme)
            for module in (httpx, httpx2):
                with module.Client(auth=auth) as client:
                    client.get(provider.url)
                    failing(lambda client=client: client.get(nobody))
                    provider.accepts = "nothing"
                    failing(lambda client=client: client.get(provider.url).raise_for_status())
                    provider.accepts = None
            client = httpx2.Client(auth=auth)
            with openai.OpenAI(api_key="not-used", base_url=provider.url, http_client=client, max_retries=0) as sdk:
                sdk.chat.completions.create(**ASK)
                provider.accepts = "nothing"
                failing(lambda sdk=sdk: sdk.chat.completions.create(**ASK))
                provider.accepts = None
            client = httpx2.Client(auth=auth)
            with anthropic.Anthropic(api_key="not-used", base_url=nobody, http_client=client, max_retries=0) as sdk:
                failing(lambda sdk=sdk: sdk.messages.create(**ASK, max_tokens=5))
            with requests.Session() as session:
                session.auth = host.agent.requests_auth("openai/key", environment=ENV, header=header, scheme=scheme)
                session.get(provider.url)
                # `requests` puts a request together before it connects: its frames hold what they send, ours do not.
                with pytest.raises(requests.ConnectionError) as failed:
                    session.get(nobody)
                frames = traceback.TracebackException.from_exception(failed.value, capture_locals=True).stack
                ours = [frame for frame in frames if "interpreters" in frame.filename or __file__ == frame.filename]
                told.append(str([frame.locals for frame in ours]))
    assert FIRST in provider.given_keys()
    text = logged.getvalue()
    assert "DEBUG" not in text
    assert "POST" in text, "the libraries did log"
    assert FIRST not in text
    shown = [trace for trace in told if FIRST in trace]
    assert not shown, shown[0]


def test_without_the_package_it_says_what_to_install(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for module, use, extra in (
        ("requests", lambda: host.agent.requests_auth("openai/key", environment=ENV), "requests"),
        ("starlette", lambda: host.agent.web_lease("openai/key", environment=ENV), "starlette"),
        ("starlette", lambda: host.vault.calling_agent(), "starlette"),
        ("pydantic_settings", lambda: host.agent.settings_source(object, environment=ENV), "pydantic-settings"),  # pyright: ignore
    ):
        with monkeypatch.context() as patched:
            for name in [
                name for name in sys.modules if name.split(".")[0] == module or name.startswith("interpreters.")
            ]:
                if (
                    name in ("interpreters.requests_auth", "interpreters.web", "interpreters.settings_source")
                    or name.split(".")[0] == module
                ):
                    patched.delitem(sys.modules, name, raising=False)
            patched.setitem(sys.modules, module, None)  # pyright: ignore
            with pytest.raises(ironsecrets.VaultError, match=rf"ironsecrets\[{extra}\]"):
                use()
