"""A worker over HTTP: what it is asked, and what its failures are called."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from fake_workers import FakeWorker, Fault, completion, running

from tersely.rollout.vllm.fleet.replies import Dialect, Refused, WrongVersion
from tersely.rollout.vllm.fleet.worker import NotFound, Worker
from tersely.rollout.vllm.records import Completion, Sampling, Share, WorkerFault

SHARE = Share(group=0, first=4, count=3, prompt=(11, 12, 13), seed=70004)
SAMPLING = Sampling(max_tokens=20, temperature=0.7, stop_token_ids=(0, 5))
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def sampled_by(
    fake: FakeWorker, dialect: Dialect, tag: str = "none", timeout_s: float = 10.0
) -> list[Completion]:
    async def sample() -> list[Completion]:
        async with running(fake):
            worker = Worker(fake.url, timeout_s=timeout_s)
            try:
                return await worker.sample(SHARE, SAMPLING, tag=tag, dialect=dialect)
            finally:
                await worker.close()

    return asyncio.run(sample())


def answered_by(handler: Handler, timeout_s: float = 10, **call: Any) -> Any:
    """What `Worker.call` makes of the answer of `handler`."""

    async def ask() -> Any:
        app = web.Application()
        app.router.add_route("*", "/path", handler)
        runner = web.AppRunner(app, shutdown_timeout=0.01)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        worker = Worker(f"http://127.0.0.1:{port}", timeout_s=timeout_s, token="a-token")
        try:
            return await worker.call("/path", **call)
        finally:
            await worker.close()
            await runner.cleanup()

    return asyncio.run(ask())


@pytest.mark.parametrize("dialect", Dialect)
def test_a_share_is_sampled_with_consecutive_seeds(dialect: Dialect) -> None:
    """The fourth rollout of its group has seed 70004, the next ones one more each."""
    expected = [completion(SHARE.prompt, seed, SAMPLING) for seed in (70004, 70005, 70006)]
    assert expected == sampled_by(FakeWorker(), dialect)


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault.killed, "gave no answer"),
        (Fault.slow, "did not answer within 0.2 seconds"),
        (Fault.unavailable, "answered 503 Service Unavailable: overloaded"),
        (Fault.cut_off, "did not answer in JSON"),
        (Fault.too_few, "has 2 completions, not 3"),
        (Fault.aborted, "aborted"),
    ],
)
def test_a_failure_is_a_fault_of_the_worker(dialect: Dialect, fault: Fault, said: str) -> None:
    with pytest.raises(WorkerFault, match=said) as caught:
        sampled_by(FakeWorker(lambda: fault), dialect, timeout_s=0.2 if fault is Fault.slow else 10)
    assert WorkerFault is type(caught.value)


@pytest.mark.parametrize("dialect", Dialect)
def test_a_request_that_will_never_be_taken_is_refused(dialect: Dialect) -> None:
    with pytest.raises(Refused, match="400 Bad Request: too long a prompt"):
        sampled_by(FakeWorker(lambda: Fault.refused), dialect)


@pytest.mark.parametrize("dialect", Dialect)
def test_other_weights_are_a_wrong_version(dialect: Dialect) -> None:
    """Whether the server says so by token or by the name of the model."""
    fake = FakeWorker(lambda: Fault.stale)
    fake.tag = "run-9"
    with pytest.raises(WrongVersion, match="'stale' instead of 'run-9'"):
        sampled_by(fake, dialect, tag="run-9")


def test_a_name_that_a_server_does_not_have_is_a_wrong_version() -> None:
    with pytest.raises(WrongVersion, match="404 Not Found: no such model"):
        sampled_by(FakeWorker(), Dialect.named, tag="run-9")


def test_a_worker_that_is_not_there_is_a_fault() -> None:
    async def ask() -> None:
        fake = FakeWorker()
        async with running(fake):
            pass
        worker = Worker(fake.url, timeout_s=5)
        try:
            await worker.healthy()
        finally:
            await worker.close()

    with pytest.raises(WorkerFault, match="/health gave no answer"):
        asyncio.run(ask())


@pytest.mark.parametrize("dialect", Dialect)
def test_all_sampling_parameters_are_sent(dialect: Dialect) -> None:
    """A server takes those that are missing from its checkpoint's generation_config.json."""
    bodies = []

    async def note(request: web.Request) -> web.Response:
        bodies.append(await request.json())
        return web.Response(status=503)

    async def ask() -> None:
        app = web.Application()
        app.router.add_post("/{path:.*}", note)
        runner = web.AppRunner(app, shutdown_timeout=0.01)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        worker = Worker(f"http://127.0.0.1:{runner.addresses[0][1]}", timeout_s=5)
        with pytest.raises(WorkerFault):
            await worker.sample(SHARE, SAMPLING, tag="run-9", dialect=dialect)
        await worker.close()
        await runner.cleanup()

    asyncio.run(ask())
    (body,) = bodies
    assert {
        "n": 3,
        "seed": 70004,
        "temperature": 0.7,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "max_tokens": 20,
        "min_tokens": 0,
        "stop_token_ids": [0, 5],
        "ignore_eos": True,
        "logprobs": 0,
    }.items() <= body.get("sampling_params", body).items()


def test_an_answer_is_json_or_nothing() -> None:
    async def echo(request: web.Request) -> web.Response:
        said = await request.json() if request.can_read_body else None
        who = request.headers["Authorization"]
        return web.json_response([request.method, request.query_string, who, said])

    async def nothing(request: web.Request) -> web.Response:
        return web.Response()

    assert ["POST", "", "Bearer a-token", {"a": 1}] == answered_by(echo, body={"a": 1})
    assert ["GET", "", "Bearer a-token", None] == answered_by(echo, method="GET")
    assert answered_by(nothing) is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, WorkerFault),
        (401, Refused),
        (403, Refused),
        (404, NotFound),
        (429, WorkerFault),
        (500, WorkerFault),
        (599, WorkerFault),
    ],
)
def test_every_status_but_a_success_is_a_fault(status: int, kind: type[WorkerFault]) -> None:
    """Redirections too: a server of ours has none. What it says is passed on, cut to a line."""

    async def fail(request: web.Request) -> web.Response:
        return web.Response(status=status, text="no\n" * 500, headers={"Location": "/path"})

    with pytest.raises(kind, match=f"/path answered {status}.*: no no .*\\.\\.\\.$") as caught:
        answered_by(fail)
    assert (kind, True) == (type(caught.value), len(caught.value.what) < 400)


def test_a_server_that_is_silent_has_stalled() -> None:
    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(3600)
        return web.Response()

    with pytest.raises(WorkerFault, match=r"/path did not answer within 0\.1 seconds"):
        answered_by(slow, timeout_s=0.1)


def test_not_a_number_is_read_as_one_and_left_to_the_checks() -> None:
    async def odd(request: web.Request) -> web.Response:
        return web.Response(text=json.dumps(float("nan")))

    assert str(answered_by(odd)) == "nan"
