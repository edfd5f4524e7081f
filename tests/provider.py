"""A local server that plays a provider of models."""

import http.server
import json
import threading
from collections.abc import Callable
from typing import Any

COMPLETION = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
}
MESSAGE = {
    "id": "m",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}


class Provider:
    """A local provider: what it saw of each request, and the one key that it accepts."""

    def __init__(self) -> None:
        self.seen: list[dict[str, str]] = []
        self.accepts: str | None = None
        self.before_answer: Callable[[], None] = lambda: None
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = self.rfile.read(length)
                provider.seen.append(
                    {k.lower(): v for k, v in self.headers.items()} | {":path": self.path, ":body": body.decode()}
                )
                provider.before_answer()
                if self.path.startswith("/away"):
                    self.send_response(307)
                    self.send_header("location", self.path.removeprefix("/away?"))
                    self.send_header("content-length", "0")
                    self.end_headers()
                    return
                given = self.headers.get("authorization") or self.headers.get("x-api-key") or ""
                ok = provider.accepts is None or given.endswith(provider.accepts)
                answer = {"error": {"message": "no"}}
                if ok:
                    answer = MESSAGE if "messages" in self.path else COMPLETION
                raw = json.dumps(answer).encode()
                self.send_response(200 if ok else 401)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def given_keys(self) -> list[str]:
        """The key that each request carried."""
        return [seen.get("authorization", seen.get("x-api-key", "")).removeprefix("Bearer ") for seen in self.seen]

    def close(self) -> None:
        """Answer no more."""
        self.server.shutdown()
        self.server.server_close()
