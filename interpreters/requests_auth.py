"""Authentication of ``requests`` from a lease.

The header is set as a request is sent, and taken out when the answer is there: a redirect, wherever it leads, does not
carry it. Where the answer is 401 and comes from where the request went, it is sent once more from a fresh lease.
"""

from functools import partial
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from interpreters.supply import UNAUTHORIZED, Supply


class LeasedRequestsAuth(AuthBase):
    """For ``requests.get(..., auth=...)`` and ``session.auth``."""

    def __init__(self, supply: Supply, header: str, scheme: str) -> None:
        self._supply, self._header, self._scheme = supply, header, scheme

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        r.headers[self._header] = self._supply.header(self._scheme)
        r.register_hook("response", partial(self._answered, _origin(r.url), [True]))  # pyright: ignore[reportUnknownMemberType]
        return r

    def _answered(
        self, origin: tuple[str, str], once: list[bool], response: requests.Response, *_: Any, **options: Any
    ) -> requests.Response:
        request = response.request
        request.headers.pop(self._header, None)
        again = response.status_code == UNAUTHORIZED and _origin(request.url) == origin and _replayable(request)
        if not again or not once:
            return response
        once.clear()
        # The connection goes back to the pool once everything was read.
        response.content  # noqa: B018
        response.close()
        self._supply.refresh()
        request = request.copy()
        request.headers[self._header] = self._supply.header(self._scheme)
        try:
            repeated: requests.Response = response.connection.send(request, **options)  # pyright: ignore
        finally:
            request.headers.pop(self._header, None)
        repeated.history.append(response)
        repeated.request = request
        return repeated

    def __repr__(self) -> str:
        return f"<LeasedRequestsAuth {self._header}>"


def _origin(url: str | None) -> tuple[str, str]:
    parts = urlsplit(url or "")
    return parts.scheme, parts.netloc


def _replayable(request: requests.PreparedRequest) -> bool:
    return request.body is None or isinstance(request.body, str | bytes)
