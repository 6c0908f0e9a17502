"""G-Eval through DeepEval and real HTTP."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_endpoint import FakeEndpoint, Script, chat, error, verdict

from tersely.evaluation.judges.config import EndpointConfig, GevalConfig
from tersely.evaluation.judges.verdicts import METRICS, Judged

Serve = Callable[[Script], FakeEndpoint]
Configured = Callable[..., EndpointConfig]


def tokens(score: str, others: dict[str, float]) -> list[tuple[str, dict[str, float]]]:
    """A verdict of `score`, with probabilities of what might have stood in its place."""
    logprobs = {token: math.log(share) for token, share in others.items()}
    return [
        ('{"reason": "it has 7 ', {}),
        ("7", {}),
        (' dogs", "score": ', {}),
        (score, logprobs),
        ("}", {}),
    ]


def replied(score: str, others: dict[str, float]) -> Script:
    """Always that verdict."""
    pieces = tokens(score, others)
    text = "".join(token for token, _ in pieces)
    return lambda body, number: chat(text, tokens=pieces)


def test_each_metric_is_asked_for_once_a_round_with_a_seed_of_its_own(
    serve: Serve, configured: Configured, item: Judged
) -> None:
    """Scores are ninths; the post is shown to all metrics but clarity."""
    endpoint = serve(lambda body, number: verdict(number % 10))
    judged = configured(endpoint, rounds=2, max_concurrent=1).build().judge([item])

    assert [(metric, n // 4, n / 9) for n, metric in enumerate(METRICS * 2)] == [
        (each.metric, each.round, pytest.approx(each.score)) for each in judged.verdicts
    ]
    assert 2 == len({request["seed"] for request in endpoint.requests})
    assert [item.post in prompt for prompt in endpoint.prompts] == [True, True, True, False] * 2
    assert all(item.summary in prompt for prompt in endpoint.prompts)
    assert "geval judge" == judged.verdicts[0].judge


def test_log_probabilities_weigh_the_score(
    serve: Serve, configured: Configured, item: Judged
) -> None:
    """0.6 * 8 + 0.3 * 7 + 0.1 * 9 = 7.8 of 9. The 7 in the reason has none."""
    endpoint = serve(replied("8", {"8": 0.6, "7": 0.3, "9": 0.1}))
    judged = configured(endpoint).build().judge([item])
    assert pytest.approx(7.8 / 9) == judged.verdicts[0].score
    assert endpoint.requests[0]["logprobs"] and 10 == endpoint.requests[0]["top_logprobs"]


def test_no_score_is_read_out_of_what_is_none(
    serve: Serve, configured: Configured, item: Judged
) -> None:
    """Only digits count, and only from 1 % on: (0.5 * 7 + 0.25 * 1) / 0.75 = 5. A word, a 10 and
    what is unlikely are nothing."""
    others = {"7": 0.5, "1": 0.25, "10": 0.1, "seven": 0.1, "0": 0.005}
    judged = configured(serve(replied("7", others))).build().judge([item])
    assert pytest.approx(5 / 9) == judged.verdicts[0].score


def test_a_tokenizer_that_splits_digits_cannot_mislead(
    serve: Serve, configured: Configured, item: Judged
) -> None:
    """A 10, as two tokens, is outside of the scale and asked for again; never read as a 1."""
    ten = [('{"reason": "", "score": ', {}), ("1", {"1": -0.1}), ("0", {"0": -0.1}), ("}", {})]
    text = "".join(token for token, _ in ten)
    endpoint = serve(lambda body, number: verdict(9) if number % 2 else chat(text, tokens=ten))
    judged = configured(endpoint, max_concurrent=1).build().judge([item])
    assert [1.0] * 4 == [each.score for each in judged.verdicts]
    assert 8 == len(endpoint.requests)
    assert 2 == len({request["seed"] for request in endpoint.requests})


@pytest.mark.parametrize(
    "field", ["logprobs", "response_format", "seed", "temperature", "max_tokens"]
)
def test_what_an_endpoint_does_not_take_is_left_out(
    field: str, serve: Serve, configured: Configured, item: Judged
) -> None:
    """Once refused, it is not sent again. OpenAI names it in `param`, others in the message."""

    def script(body: dict[str, Any], number: int) -> Any:
        named = {"param": field} if number % 2 else {}
        return error(400, f"'{field}' is not supported", **named) if field in body else verdict(6)

    endpoint = serve(script)
    judged = configured(endpoint, max_concurrent=1).build().judge([item])

    assert [6 / 9] * 4 == pytest.approx([each.score for each in judged.verdicts])
    assert 5 == len(endpoint.requests)
    if field == "max_tokens":
        assert 1024 == endpoint.requests[-1]["max_completion_tokens"]


@pytest.mark.parametrize(
    "message",
    [
        "maximum context length is 8 tokens; reduce max_tokens or the messages",
        "the max_tokensish part is not supported",
    ],
)
def test_a_field_that_is_only_mentioned_is_kept(
    message: str, serve: Serve, configured: Configured, item: Judged
) -> None:
    """The first request is refused for what it is; later ones have all their fields."""
    endpoint = serve(lambda body, number: verdict(6) if number else error(400, message))
    judged = configured(endpoint, max_concurrent=1).build().judge([item])
    assert 1 == judged.missing
    assert 4 == len(endpoint.requests)
    assert {1024} == {request.get("max_tokens") for request in endpoint.requests}


def test_nothing_is_left_in_the_working_folder(
    serve: Serve,
    configured: Configured,
    item: Judged,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not by DeepEval either; nor does it take the words of a post for a picture."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    monkeypatch.chdir(folder)
    item = Judged("a", "see [DEEPEVAL:IMAGE:1] {{ reason }} {% raw %}", "[DEEPEVAL:PDF:2]")
    endpoint = serve(lambda body, number: verdict(9))
    config = configured(endpoint, GevalConfig)
    assert [1.0] * 4 == [each.score for each in config.build().judge([item]).verdicts]
    assert item.post in endpoint.prompts[0]
    assert [] == list(folder.iterdir())


def test_an_empty_summary_is_judged(serve: Serve, configured: Configured) -> None:
    """DeepEval refuses an empty text; what it is given is never empty."""
    endpoint = serve(lambda body, number: verdict(0))
    judged = configured(endpoint).build().judge([Judged("a", "post", "")])
    assert [0.0] * 4 == [each.score for each in judged.verdicts]
