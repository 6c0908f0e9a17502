import asyncio
from typing import Any

import pytest

from tersely.rollout.vllm.serving.worker_side.guard import Guard


def answers(scope: dict[str, Any]) -> list[dict[str, Any]]:
    """What a guarded application that says `200 inside` sends for a request."""
    sent: list[dict[str, Any]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"inside"})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(Guard(application)(scope, receive, send))
    return sent


def request(path: str, *authorization: bytes) -> dict[str, Any]:
    headers = [(b"host", b"a"), *((b"authorization", value) for value in authorization)]
    return {"type": "http", "method": "POST", "path": path, "headers": headers}


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERSELY_TOKEN", "geheim")


@pytest.mark.usefixtures("token")
def test_the_token_lets_in() -> None:
    assert 200 == answers(request("/collective_rpc", b"Bearer geheim"))[0]["status"]


@pytest.mark.usefixtures("token")
@pytest.mark.parametrize(
    "said",
    [(), (b"Bearer ",), (b"Bearer gehei",), (b"geheim",), (b"Bearer falsch", b"Bearer geheim")],
)
def test_anything_else_does_not(said: tuple[bytes, ...]) -> None:
    """No token, a wrong one, none of the scheme, or two: refused before the application is
    asked."""
    start, body = answers(request("/collective_rpc", *said))
    assert 401 == start["status"]
    assert b"inside" not in body["body"]


@pytest.mark.usefixtures("token")
def test_every_path_but_health_is_guarded() -> None:
    """vLLM's own key leaves out what does not begin with /v1; here only /health is open."""
    assert 200 == answers(request("/health"))[0]["status"]
    for path in ("/pause", "/v1/models", "/metrics", "/health/", "/healthy", "/"):
        assert 401 == answers(request(path))[0]["status"], path


@pytest.mark.usefixtures("token")
def test_health_says_which_start_of_a_server_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing else does."""
    monkeypatch.setenv("TERSELY_SERVE_IDENTITY", "0123abcd")
    assert [(b"x-tersely-serve", b"0123abcd")] == answers(request("/health"))[0]["headers"]
    assert "headers" not in answers(request("/v1/models", b"Bearer geheim"))[0]


@pytest.mark.usefixtures("token")
def test_a_websocket_is_closed() -> None:
    scope = {"type": "websocket", "path": "/v1/realtime", "headers": []}
    assert [{"type": "websocket.close", "code": 1008}] == answers(scope)


@pytest.mark.usefixtures("token")
def test_start_up_of_the_application_passes() -> None:
    assert 2 == len(answers({"type": "lifespan"}))


@pytest.mark.parametrize("unset", [None, ""])
def test_without_a_token_nobody_passes(monkeypatch: pytest.MonkeyPatch, unset: str | None) -> None:
    """`serve` always sets one; without it, no token is the right one."""
    monkeypatch.delenv("TERSELY_TOKEN", raising=False)
    if unset is not None:
        monkeypatch.setenv("TERSELY_TOKEN", unset)
    for said in ((), (b"Bearer ",), (b"Bearer None",)):
        assert 401 == answers(request("/collective_rpc", *said))[0]["status"]
    assert 200 == answers(request("/health"))[0]["status"]
