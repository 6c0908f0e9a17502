"""Servers that answer as vLLM does and fail as they are told: for what a real one cannot be made
to do in a test. Which tokens they sample follows from the prompt and the seed alone."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from enum import Enum, auto
from pathlib import Path
from typing import Any

from aiohttp import web

from tersely.rollout.vllm.fleet.worker import Worker
from tersely.rollout.vllm.records import Completion, Published, Sampling

STOP = 0
"""The id that ends a turn."""


class Fault(Enum):
    """What a fake does with a request instead of answering it."""

    killed = auto()
    """The connection breaks in the middle of the reply."""
    slow = auto()
    """No answer while anybody waits for it."""
    unavailable = auto()
    """503."""
    refused = auto()
    """400: it would be the same the next time."""
    cut_off = auto()
    """A whole reply of half the JSON."""
    too_few = auto()
    """A completion is missing."""
    stale = auto()
    """Sampled with other weights; it says so."""
    gone = auto()
    """The server has started anew, with the weights of its checkpoint."""
    aborted = auto()
    """Completions of a token each."""


def completion(prompt: Sequence[int], seed: int, sampling: Sampling) -> Completion:
    """What a fake samples: the prompt, the seed and a stop, or for every third seed no stop, up to
    the limit. So nobody's completion can be taken for another's."""
    said = [*prompt, *(1000 + int(digit) for digit in str(seed))]
    if seed % 3:
        said.append(STOP)
    else:
        said += [999] * (sampling.max_tokens - len(said))
    assert len(said) <= sampling.max_tokens
    return Completion(
        tuple(said), tuple(-token / 1024 for token in said), "stop" if seed % 3 else "length"
    )


class FakeWorker:
    """One such server on 127.0.0.1. It has no weights until it is brought to some."""

    def __init__(self, faults: Callable[[], Fault | None] = lambda: None) -> None:
        """`faults` is asked at each request for rollouts."""
        self.tag, self.url = "none", ""
        self.asked: list[tuple[tuple[int, ...], int, int]] = []
        """Prompt, first seed and number of rollouts of each request."""
        self.most_at_once = 0
        self.delay_s = 0.0
        """Before each reply with rollouts."""
        self.bring_status = 200
        """What it answers to new weights."""
        self._faults, self.at_once, self._port = faults, 0, 0
        self._runner: web.AppRunner | None = None
        self._listening: socket.socket

    async def start(self) -> None:
        """Listen; on the port that it had, if it had one."""
        self._listening = socket.create_server(("127.0.0.1", self._port))
        app = web.Application()
        self._route(app.router)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.SockSite(self._runner, self._listening).start()
        self._port = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        """Break all connections and forget the weights."""
        self.forget()
        if self._runner is not None:
            # asyncio forgets a connection that it has accepted and not yet set up when its server
            # closes. So no more are accepted first, and those few get their rounds of the loop.
            asyncio.get_running_loop().remove_reader(self._listening)
            for _ in range(5):
                await asyncio.sleep(0)
            await self._runner.cleanup()
            self._runner = None

    def forget(self) -> None:
        """Have the weights of a server that has just started."""
        self.tag = "none"

    def sampled(self, prompt: Sequence[int], seed: int, sampling: Sampling) -> Completion:
        """See `completion`."""
        return completion(prompt, seed, sampling)

    def _route(self, router: web.UrlDispatcher) -> None:
        router.add_get("/health", self._health)
        router.add_post("/bring", self._bring)
        router.add_post("/inference/v1/generate", self._generate)
        router.add_post("/v1/completions", self._completions)

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response()

    async def _bring(self, request: web.Request) -> web.Response:
        if self.bring_status == 200:
            self.tag = (await request.json())["tag"]
        return web.Response(status=self.bring_status)

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        return await self._answer(request, body, body["token_ids"], body["sampling_params"])

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        return await self._answer(request, body, body["prompt"], body)

    async def _answer(
        self, request: web.Request, body: dict[str, Any], prompt: list[int], how: dict[str, Any]
    ) -> web.StreamResponse:
        self.asked.append((tuple(prompt), how["seed"], how["n"]))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.delay_s)
            return await self._fail_or_sample(request, body, prompt, how)
        finally:
            self.at_once -= 1

    async def _fail_or_sample(
        self, request: web.Request, body: dict[str, Any], prompt: list[int], how: dict[str, Any]
    ) -> web.StreamResponse:
        fault = self._faults()
        if fault is Fault.slow:
            await asyncio.sleep(3600)
        if fault is Fault.unavailable:
            return web.json_response({"error": {"message": "overloaded"}}, status=503)
        if fault is Fault.refused:
            return web.json_response({"error": {"message": "too long a prompt"}}, status=400)
        if fault is Fault.gone:
            self.forget()
        if "sampling_params" not in body and body["model"] != self.tag:
            return web.json_response({"error": {"message": "no such model"}}, status=404)
        tag = "stale" if fault is Fault.stale else self.tag
        text = json.dumps(self._reply(body, prompt, how, tag, fault))
        if fault is Fault.cut_off:
            text = text[: len(text) // 2]
        if fault is Fault.killed:
            return await _break_off(request, text)
        return web.Response(text=text, content_type="application/json")

    def _reply(
        self,
        body: dict[str, Any],
        prompt: list[int],
        how: dict[str, Any],
        tag: str,
        fault: Fault | None,
    ) -> dict[str, Any]:
        sampling = Sampling(how["max_tokens"], how["temperature"], tuple(how["stop_token_ids"]))
        named = "sampling_params" not in body
        choices = []
        for index in range(how["n"] - (fault is Fault.too_few)):
            ids, logprobs, finish = self.sampled(prompt, how["seed"] + index, sampling)
            if fault is Fault.aborted:
                ids, logprobs = ids[:1], logprobs[:1]
            choice: dict[str, Any] = {
                "index": index,
                "token_ids": ids,
                "finish_reason": "abort" if fault is Fault.aborted else finish,
            }
            if named:
                tokens = [f"token_id:{token}" for token in ids]
                choice["logprobs"] = {"tokens": tokens, "token_logprobs": logprobs}
            else:
                content = [
                    {"token_id": token, "logprob": logprob}
                    for token, logprob in zip(ids, logprobs, strict=True)
                ]
                choice["logprobs"] = {"content": content}
                choice["weight_versions"] = [{"version": tag, "start": 0, "end": len(ids)}]
            choices.append(choice)
        key, prefix = ("id", "cmpl") if named else ("request_id", "generate-tokens")
        return {key: f"{prefix}-{body['request_id']}", "model": tag, "choices": choices}


async def _break_off(request: web.Request, text: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": str(len(text))})
    await response.prepare(request)
    await response.write(text[: len(text) // 2].encode())
    assert request.transport is not None
    request.transport.abort()
    return response


async def bring(worker: Worker, published: Published) -> None:
    """What a synchroniser does, for a fake."""
    await worker.call("/bring", {"tag": published.tag})


def weights(version: int) -> Published:
    """Weights of a version, in name only."""
    return Published(version, f"run-{version}", Path(), {}, lambda prompt, ids: [0.0] * len(ids))


@asynccontextmanager
async def running(*fakes: FakeWorker) -> AsyncIterator[None]:
    """Start `fakes` and stop them at the end."""
    try:
        for fake in fakes:
            await fake.start()
        yield
    finally:
        for fake in fakes:
            await fake.stop()
