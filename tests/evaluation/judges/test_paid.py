"""What is paid for: nothing twice, nothing beyond the budget, and it is said."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_endpoint import FakeEndpoint, Reply, Script, chat, error, panel, verdict

from tersely.errors import JudgeError
from tersely.evaluation.judges.cache import FILE
from tersely.evaluation.judges.config import EndpointConfig, PanelConfig
from tersely.evaluation.judges.verdicts import BUDGET, METRICS, Judged

Serve = Callable[[Script], FakeEndpoint]
Configured = Callable[..., EndpointConfig]

SEVEN = panel(dict.fromkeys(METRICS, 7))


def items(count: int) -> list[Judged]:
    """Summaries to judge."""
    return [Judged(f"test-{n}", f"post {n}", f"summary {n}") for n in range(count)]


def sevens(body: dict[str, Any], number: int) -> Reply:
    """Always the same verdict of a panel."""
    return SEVEN


def test_judging_again_costs_nothing(serve: Serve, configured: Configured) -> None:
    """The same verdicts, from the cache, without a request; another round is asked for."""
    endpoint = serve(lambda body, number: verdict(number % 10))
    before = configured(endpoint, rounds=2).build().judge(items(3))
    after = configured(endpoint, rounds=2).build().judge(items(3))

    assert 24 == len(endpoint.requests)
    assert (0, 24) == (after.usage.calls, after.usage.cached)
    assert [v.score for v in before.verdicts] == [v.score for v in after.verdicts]
    assert {False} == {v.cached for v in before.verdicts}
    assert {True} == {v.cached for v in after.verdicts}
    configured(endpoint, rounds=3).build().judge(items(3))
    assert 36 == len(endpoint.requests)


def test_another_judge_is_asked_itself(serve: Serve, configured: Configured) -> None:
    """Another model, temperature, kind or address shares no verdict; another threshold does."""
    endpoint = serve(sevens)
    elsewhere = serve(sevens)
    others: list[dict[str, Any]] = [{}, {"model": "m"}, {"temperature": 0.5}, {"threshold": 0.9}]
    for other in others:
        configured(endpoint, PanelConfig, **other).build().judge(items(1))
    assert 3 == len(endpoint.requests)
    configured(elsewhere, PanelConfig).build().judge(items(1))
    assert 1 == len(elsewhere.requests)
    endpoint.script = lambda body, number: verdict(7)
    configured(endpoint).build().judge(items(1))
    assert 3 + 4 == len(endpoint.requests)


def test_an_interrupted_evaluation_goes_on_where_it_was(
    serve: Serve, configured: Configured
) -> None:
    """The endpoint breaks after 10 verdicts of 20; the other 10 are asked for the next time."""
    endpoint = serve(lambda body, number: SEVEN if number < 10 else error(401, "expired"))
    judge = configured(endpoint, PanelConfig, max_concurrent=1).build()
    with pytest.raises(JudgeError, match="expired"):
        judge.judge(items(20))
    endpoint.script = sevens
    judged = judge.judge(items(20))
    assert (0, 10, 10) == (judged.missing, judged.usage.calls, judged.usage.cached)


def test_a_damaged_cache_is_asked_again(
    serve: Serve, configured: Configured, tmp_path: Path
) -> None:
    endpoint = serve(sevens)
    judge = configured(endpoint, PanelConfig).build()
    judge.judge(items(2))
    (tmp_path / "verdicts" / FILE).write_bytes(b"no database" * 1000)
    for name in ("-wal", "-shm"):
        (tmp_path / "verdicts" / f"{FILE}{name}").unlink(missing_ok=True)
    assert 0 == judge.judge(items(2)).missing
    assert 4 == len(endpoint.requests)


def test_a_budget_of_calls_ends_in_whole_rounds(
    serve: Serve, configured: Configured, caplog: pytest.LogCaptureFixture
) -> None:
    """7 calls of 12: round 0 of 4 summaries, 3 of round 1. The rest is missing with its reason,
    which is said and is no error, whatever the share. Going on asks for it alone."""
    endpoint = serve(sevens)
    options = {"rounds": 3, "max_missing_share": 0.0}
    judged = configured(endpoint, PanelConfig, max_calls=7, **options).build().judge(items(4))

    assert 7 == len(endpoint.requests)
    assert (20, 20) == (judged.missing, judged.unpaid)
    assert {BUDGET} == {each.reason for each in judged.verdicts if each.score is None}
    assert [4, 3, 0] == [
        sum(v.score is not None for v in judged.verdicts if v.round == r) // 4 for r in range(3)
    ]
    assert "the budget of the judge" in caplog.text
    judged = configured(endpoint, PanelConfig, **options).build().judge(items(4))
    assert (0, 5, 7) == (judged.missing, judged.usage.calls, judged.usage.cached)


def test_a_budget_does_not_excuse_what_could_not_be_read(
    serve: Serve, configured: Configured
) -> None:
    """Two calls of the three attempts: the verdict is missing because it could not be read, which
    counts against judge.max_missing_share."""
    endpoint = serve(lambda body, number: chat("no"))
    judged = configured(endpoint, PanelConfig, max_calls=2).build().judge(items(1))
    assert (4, 0) == (judged.missing, judged.unpaid)
    assert "no JSON object" in judged.verdicts[0].reason
    assert "2 times; then the budget was spent" in judged.verdicts[0].reason
    config = configured(endpoint, PanelConfig, max_calls=2, max_missing_share=0.02)
    with pytest.raises(JudgeError, match="max_missing_share"):
        config.build().judge(items(1))


def test_a_budget_in_dollars_is_never_exceeded(serve: Serve, configured: Configured) -> None:
    """A reply uses 400 and 50 tokens: 0.4 + 0.1 = 0.5 dollars at a dollar and two for a thousand.
    Whatever is out at a time, 5 dollars are no more than that."""
    endpoint = serve(lambda body, number: Reply(SEVEN.payload, delay=0.005))
    config = configured(
        endpoint,
        PanelConfig,
        rounds=5,
        max_usd=12.0,
        max_tokens=100,
        usd_per_million_in=1000.0,
        usd_per_million_out=2000.0,
    )
    judged = config.build().judge(items(10))
    assert judged.usage.usd == pytest.approx(0.5 * len(endpoint.requests))
    assert judged.usage.usd <= 12.0
    # The most that a request can cost is set aside, and that is below 5 dollars here.
    assert judged.usage.usd > 12.0 - 5.0
    assert judged.unpaid == 4 * (50 - len(endpoint.requests))


def test_progress_tells_the_cost(
    serve: Serve, configured: Configured, caplog: pytest.LogCaptureFixture
) -> None:
    """Three requests of 400 and 50 tokens at 1 and 2 dollars for a million: 0.0015 dollars."""
    prices = {"usd_per_million_in": 1.0, "usd_per_million_out": 2.0}
    with caplog.at_level(logging.INFO):
        configured(serve(sevens), PanelConfig, **prices).build().judge(items(3))
    assert "request 3 of 3, cost $0.0015" in caplog.text
    assert "12 verdicts, 0 of them missing; 3 requests (and 0 from the cache)" in caplog.text
    assert "HTTP Request" not in caplog.text


def test_two_summaries_of_one_id_are_a_defect(serve: Serve, configured: Configured) -> None:
    with pytest.raises(ValueError, match="same id"):
        configured(serve(sevens), PanelConfig).build().judge([*items(1), *items(1)])
