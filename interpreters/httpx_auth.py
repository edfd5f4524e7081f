"""Authentication of httpx clients from a lease: ``httpx`` and ``httpx2``, sync and async.

The header is set as a request is sent, and taken out of it when the answer is there. Both clients take the
``Authorization`` header off when a redirect leads to another origin, and leave every other header on: with a header
of your own, let the client follow no redirects.
"""

import importlib
from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from interpreters.supply import UNAUTHORIZED, Supply
from ironsecrets.errors import VaultError


class LeasedHeader:
    """Sets the header for each request, and once more, from a fresh lease, where the answer is 401."""

    requires_request_body = False
    requires_response_body = False

    def __init__(self, supply: Supply, header: str, scheme: str) -> None:
        self._supply, self._header, self._scheme = supply, header, scheme

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """As the clients ask for it."""
        before = request.headers.get(self._header)
        try:
            request.headers[self._header] = self._supply.header(self._scheme)
            response = yield request
            if response.status_code == UNAUTHORIZED and _replayable(request):
                self._supply.refresh()
                request.headers[self._header] = self._supply.header(self._scheme)
                yield request
        finally:
            self._put_back(request, before)

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """As the clients ask for it. The store is looked at in a thread."""
        before = request.headers.get(self._header)
        try:
            request.headers[self._header] = await anyio.to_thread.run_sync(self._supply.header, self._scheme)
            response = yield request
            if response.status_code == UNAUTHORIZED and _replayable(request):
                await anyio.to_thread.run_sync(self._supply.refresh)
                request.headers[self._header] = await anyio.to_thread.run_sync(self._supply.header, self._scheme)
                yield request
        finally:
            self._put_back(request, before)

    def _put_back(self, request: Any, before: str | None) -> None:
        request.headers.pop(self._header, None)
        if before is not None:
            request.headers[self._header] = before

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._header}>"


def _replayable(request: Any) -> bool:
    """Whether the body is there to be sent again; one that streams is gone."""
    try:
        return request.content is not None
    except Exception:
        return False


if TYPE_CHECKING:
    import httpx
    import httpx2

    class LeasedAuth(LeasedHeader, httpx.Auth, httpx2.Auth):  # pyright: ignore[reportIncompatibleMethodOverride]
        """An ``httpx.Auth``, and an ``httpx2.Auth``."""
else:

    def _bases() -> list[type]:
        found = []
        for module in ("httpx", "httpx2"):
            try:
                found.append(importlib.import_module(module).Auth)
            except ImportError:
                continue
        if not found:
            raise VaultError("this needs httpx or httpx2: install ironsecrets[httpx] or ironsecrets[httpx2]")
        return found

    LeasedAuth = type(
        "LeasedAuth", (LeasedHeader, *_bases()), {"__doc__": "An ``httpx.Auth``, and an ``httpx2.Auth``."}
    )
