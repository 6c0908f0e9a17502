"""An endpoint of the OpenAI protocol on loopback: real HTTP, what it says is scripted."""

import asyncio
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(frozen=True)
class Reply:
    """What the endpoint says to one request."""

    payload: object
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    """Seconds before it is said."""
    drops: int = 0
    """Blanks that come first, one every 0.05 s."""


Script = Callable[[dict[str, Any], int], Reply]
"""From a request's body and its number, counted from 0, to the reply."""


def chat(
    content: str | None,
    *,
    tokens: Sequence[tuple[str, Mapping[str, float]]] | None = None,
    finish_reason: str = "stop",
    usage: tuple[int, int] | None = (400, 50),
    delay: float = 0.0,
) -> Reply:
    """A chat completion. `tokens` are tokens, each with log-probabilities of what might have stood
    in its place."""
    logprobs = None
    if tokens is not None:
        places = [
            {
                "token": token,
                "logprob": -0.1,
                "top_logprobs": [
                    {"token": other, "logprob": logprob} for other, logprob in others.items()
                ],
            }
            for token, others in tokens
        ]
        logprobs = {"content": places}
    payload: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "judge",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish_reason,
                "message": {"role": "assistant", "content": content},
                "logprobs": logprobs,
            }
        ],
    }
    if usage is not None:
        payload["usage"] = {
            "prompt_tokens": usage[0],
            "completion_tokens": usage[1],
            "total_tokens": sum(usage),
        }
    return Reply(payload, delay=delay)


def verdict(score: object, reason: str = "because", **options: Any) -> Reply:
    """A reply to G-Eval."""
    return chat(json.dumps({"reason": reason, "score": score}), **options)


def panel(scores: Mapping[str, object], **options: Any) -> Reply:
    """A reply to the panel."""
    return chat(
        json.dumps({name: {"reason": f"{name}!", "score": s} for name, s in scores.items()}),
        **options,
    )


def error(
    status: int, message: str = "no", headers: Mapping[str, str] | None = None, **more: object
) -> Reply:
    """A refusal."""
    return Reply({"error": {"message": message, **more}}, status, headers or {})


class FakeEndpoint:
    """A context manager; `base_url` is where it listens."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.at_once = 0
        """Most requests that were there at a time."""
        self.here = 0
        """Requests that are there now."""
        self._ready = threading.Event()

    def __enter__(self) -> "FakeEndpoint":
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    @property
    def prompts(self) -> list[str]:
        """What was asked, in order."""
        return [request["messages"][-1]["content"] for request in self.requests]

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        number = len(self.requests)
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        self.here += 1
        self.at_once = max(self.at_once, self.here)
        try:
            reply = self.script(body, number)
            await asyncio.sleep(reply.delay)
        finally:
            self.here -= 1
        if reply.drops:
            stream = web.StreamResponse(headers={"Content-Type": "application/json"})
            await stream.prepare(request)
            for _ in range(reply.drops):
                await stream.write(b" ")
                await asyncio.sleep(0.05)
            await stream.write(json.dumps(reply.payload).encode())
            return stream
        if isinstance(reply.payload, str):
            return web.Response(text=reply.payload, status=reply.status, headers=reply.headers)
        return web.json_response(reply.payload, status=reply.status, headers=reply.headers)
