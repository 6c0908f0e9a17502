"""Who may use the server. Runs inside vLLM, so it imports nothing but the standard library."""

import hmac
import os
from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

REFUSAL = b'{"error": "this server wants the bearer token in TERSELY_TOKEN, the same as its own"}'


IDENTITY_HEADER = b"x-tersely-serve"


class Guard:
    """ASGI middleware: everything but `/health` wants `$TERSELY_TOKEN` as a bearer token, and
    nothing lets in where that is not set. vLLM's own `--api-key` leaves out the endpoints that
    change weights.

    `/health` says which start of a server it is that answers, `$TERSELY_SERVE_IDENTITY`."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app
        token = os.environ.get("TERSELY_TOKEN", "")
        self._expected = f"Bearer {token}".encode() if token else None
        self._identity = os.environ.get("TERSELY_SERVE_IDENTITY", "").encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401."""

        async def send_with_identity(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                named = (IDENTITY_HEADER, self._identity)
                message = {**message, "headers": [*message.get("headers", ()), named]}
            await send(message)

        if scope["type"] == "http" and scope["path"] == "/health":
            await self._app(scope, receive, send_with_identity)
        elif self._lets_in(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            headers = [(b"content-type", b"application/json"), (b"www-authenticate", b"Bearer")]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": REFUSAL})

    def _lets_in(self, scope: Scope) -> bool:
        if scope["type"] not in ("http", "websocket"):
            return True
        if self._expected is None:
            return False
        said = [value for name, value in scope["headers"] if name == b"authorization"]
        return len(said) == 1 and hmac.compare_digest(said[0], self._expected)
