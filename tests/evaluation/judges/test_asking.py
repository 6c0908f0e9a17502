"""What becomes of requests that fail: asked again, missing with a reason, an error; never a 0."""

import email.utils
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from fake_endpoint import FakeEndpoint, Reply, Script, chat, error, panel

from tersely.errors import JudgeError
from tersely.evaluation.judges.config import EndpointConfig, PanelConfig
from tersely.evaluation.judges.verdicts import METRICS, Judged

Serve = Callable[[Script], FakeEndpoint]
Configured = Callable[..., EndpointConfig]

SEVEN = panel(dict.fromkeys(METRICS, 7))
LINE = json.dumps({metric: {"reason": "r", "score": 7} for metric in METRICS})


def items(count: int) -> list[Judged]:
    """Summaries to judge."""
    return [Judged(f"test-{n}", f"post {n}", f"summary {n}") for n in range(count)]


def first(reply: Reply, times: int = 1) -> Script:
    """So the first few times, then a verdict."""
    return lambda body, number: reply if number < times else SEVEN


@pytest.mark.parametrize(
    "reply",
    [
        chat("I cannot judge that."),
        chat(None),
        chat(""),
        chat(LINE[:-20], finish_reason="length"),
        chat('{"faithfulness": 7}'),
        Reply({"choices": []}),
        Reply("<html>a page</html>"),
        Reply(["no", "completion"]),
    ],
    ids=["prose", "null", "empty", "cut off", "other", "no choice", "page", "list"],
)
def test_what_cannot_be_read_is_asked_for_again(
    reply: Reply, serve: Serve, configured: Configured
) -> None:
    endpoint = serve(first(reply))
    judged = configured(endpoint, PanelConfig).build().judge(items(1))
    assert [7 / 9] * 4 == pytest.approx([each.score for each in judged.verdicts])
    assert 2 == len(endpoint.requests)
    assert endpoint.requests[0]["seed"] != endpoint.requests[1]["seed"]


@pytest.mark.parametrize(
    "text", [f"```json\n{LINE}\n```", f"<think>hm {{</think>\n{LINE}", f"\n{LINE} "]
)
def test_what_can_be_read_is_not(text: str, serve: Serve, configured: Configured) -> None:
    endpoint = serve(lambda body, number: chat(text, finish_reason="length"))
    assert 0 == configured(endpoint, PanelConfig).build().judge(items(1)).missing
    assert 1 == len(endpoint.requests)


@pytest.mark.parametrize(
    "reply",
    [
        error(429),
        error(429, headers={"Retry-After": "0"}),
        error(429, headers={"Retry-After": "Sat, 01 Jan 2000 00:00:00 GMT"}),
        error(429, headers={"Retry-After": "soon"}),
        error(429, headers={"retry-after-ms": "1"}),
        error(500),
        error(503, headers={"Retry-After": "0"}),
        error(408),
        Reply("<html>bad gateway</html>", status=502),
    ],
)
def test_what_may_pass_is_sent_again(reply: Reply, serve: Serve, configured: Configured) -> None:
    """As often as it takes; it is the same request, and refused ones are not calls."""
    endpoint = serve(first(reply, times=5))
    judged = configured(endpoint, PanelConfig).build().judge(items(1))
    assert 0 == judged.missing
    assert 6 == len(endpoint.requests)
    assert all(request == endpoint.requests[0] for request in endpoint.requests)
    assert 1 == judged.usage.calls


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_respected(form: str, serve: Serve, configured: Configured) -> None:
    """By all requests: between the first refusal and the next request lies a second, or with a
    date, which has whole seconds, at least one of two."""
    times: list[float] = []
    value = "1" if form == "seconds" else email.utils.formatdate(time.time() + 3, usegmt=True)

    def script(body: dict[str, Any], number: int) -> Reply:
        times.append(time.monotonic())
        return error(429, headers={"Retry-After": value}) if number == 0 else SEVEN

    judged = configured(serve(script), PanelConfig, max_concurrent=1).build().judge(items(2))
    assert 0 == judged.missing
    assert times[1] - times[0] >= 0.9


def test_too_many_requests_make_fewer_at_a_time(serve: Serve, configured: Configured) -> None:
    """An endpoint that refuses what goes beyond 4 at a time answers everything in the end."""
    endpoint = serve(
        lambda body, number: error(429) if endpoint.here > 4 else Reply(SEVEN.payload, delay=0.01)
    )
    config = configured(endpoint, PanelConfig, rounds=3, max_concurrent=16)
    assert 0 == config.build().judge(items(20)).missing
    assert 16 >= endpoint.at_once > 4


@pytest.mark.parametrize("slow", [{"delay": 1.0}, {"drops": 20}])
def test_a_slow_endpoint_counts_as_one_that_did_not_answer(
    slow: dict[str, Any], serve: Serve, configured: Configured
) -> None:
    """Whether it is silent or dribbles. The request that took too long may have cost something: it
    is a call."""
    endpoint = serve(first(Reply(SEVEN.payload, **slow)))
    judged = configured(endpoint, PanelConfig, timeout_s=0.3).build().judge(items(1))
    assert (0, 2) == (judged.missing, judged.usage.calls)


def test_what_is_never_read_is_missing_and_never_a_zero(
    serve: Serve, configured: Configured, caplog: pytest.LogCaptureFixture
) -> None:
    """One summary of two has no verdict; it is asked for 3 times and the reason is kept. Judging
    again asks for it alone."""

    def script(body: dict[str, Any], number: int) -> Reply:
        return chat("no") if "summary 0" in body["messages"][0]["content"] else SEVEN

    endpoint = serve(script)
    judge = configured(endpoint, PanelConfig).build()
    judged = judge.judge(items(2))

    assert (4, 0) == (judged.missing, judged.unpaid)
    assert dict.fromkeys(METRICS) == judged.means()["test-0"]
    assert "no JSON object" in judged.verdicts[0].reason and "3 times" in judged.verdicts[0].reason
    assert (1.0, 1, 1) == (judged.passed.rate, judged.passed.rounds, judged.passed.missing)
    assert 4 == len(endpoint.requests)
    judge.judge(items(2))
    assert 7 == len(endpoint.requests)


def test_too_many_missing_are_an_error_as_soon_as_that_is_sure(
    serve: Serve, configured: Configured
) -> None:
    """Of 100 verdicts 2 may be missing; the rest is not paid for. What was judged is kept."""

    def script(body: dict[str, Any], number: int) -> Reply:
        return SEVEN if "summary 0\n" in body["messages"][0]["content"] else chat("no")

    endpoint = serve(script)
    config = configured(endpoint, PanelConfig, max_missing_share=0.02, max_concurrent=1)
    with pytest.raises(JudgeError, match="max_missing_share") as raised:
        config.build().judge(items(25))
    assert "no JSON object" in str(raised.value)
    assert 1 + 3 == len(endpoint.requests)
    assert config.build().judge(items(1)).verdicts[0].cached


def test_a_request_that_is_wrong_is_missing_at_once(serve: Serve, configured: Configured) -> None:
    """A post too long for the judge is not a reason to ask again."""
    endpoint = serve(lambda body, number: error(400, "maximum context length is 8 tokens"))
    judged = configured(endpoint, PanelConfig).build().judge(items(1))
    assert 4 == judged.missing
    assert "400: maximum context length is 8 tokens" == judged.verdicts[0].reason
    assert 1 == len(endpoint.requests)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (error(401, "wrong key"), "401: wrong key"),
        (error(404, "no such model"), "judge.model"),
        (error(429, "pay first", code="insufficient_quota"), "account"),
        (error(429, headers={"Retry-After": "3600"}), "3600 s"),
    ],
)
def test_an_endpoint_that_will_not_answer_is_an_error_at_once(
    reply: Reply, said: str, serve: Serve, configured: Configured
) -> None:
    endpoint = serve(lambda body, number: reply)
    with pytest.raises(JudgeError, match=said):
        configured(endpoint, PanelConfig, max_concurrent=1).build().judge(items(50))
    assert 1 == len(endpoint.requests)


def test_an_endpoint_that_is_not_there_is_an_error(serve: Serve, configured: Configured) -> None:
    endpoint = serve(first(SEVEN))
    config = configured(endpoint, PanelConfig, patience_s=0.3, base_url="http://127.0.0.1:9/v1")
    with pytest.raises(JudgeError, match="has answered nothing"):
        config.build().judge(items(3))


def test_one_that_fails_on_one_request_alone_makes_it_missing(
    serve: Serve, configured: Configured
) -> None:
    """Others are answered meanwhile."""

    def script(body: dict[str, Any], number: int) -> Reply:
        poison = "summary 0\n" in body["messages"][0]["content"]
        return error(500, "crash") if poison else Reply(SEVEN.payload, delay=0.02)

    config = configured(serve(script), PanelConfig, patience_s=0.3, max_concurrent=2)
    judged = config.build().judge(items(60))
    assert {"test-0"} == {each.id for each in judged.verdicts if each.score is None}
    assert "500: crash" == judged.verdicts[0].reason
