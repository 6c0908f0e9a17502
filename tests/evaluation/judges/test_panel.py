"""All four metrics in one request."""

from collections.abc import Callable

import pytest
from fake_endpoint import FakeEndpoint, Script, panel

from tersely.evaluation.judges.config import EndpointConfig, PanelConfig
from tersely.evaluation.judges.verdicts import METRICS, Judged

SCORES = {"faithfulness": 9, "coverage": 6, "conciseness": 3, "clarity": 0}


def test_one_request_gives_four_scores(
    serve: Callable[[Script], FakeEndpoint],
    configured: Callable[..., EndpointConfig],
    item: Judged,
) -> None:
    """9/9, 6/9, 3/9, 0/9, each with its reason; the schema asks for all of them."""
    endpoint = serve(lambda body, number: panel(SCORES))
    judged = configured(endpoint, PanelConfig, rounds=2).build().judge([item])

    assert [1.0, 2 / 3, 1 / 3, 0.0] * 2 == pytest.approx([v.score for v in judged.verdicts])
    assert [f"{metric}!" for metric in METRICS] * 2 == [each.reason for each in judged.verdicts]
    assert 2 == len(endpoint.requests) == judged.usage.calls
    schema = endpoint.requests[0]["response_format"]["json_schema"]["schema"]
    assert list(METRICS) == schema["required"]
    assert "logprobs" not in endpoint.requests[0]


def test_a_panel_without_one_of_its_scores_is_asked_again(
    serve: Callable[[Script], FakeEndpoint],
    configured: Callable[..., EndpointConfig],
    item: Judged,
) -> None:
    """Three scores are no verdict, nor is a fourth outside of the scale."""
    broken = [{**SCORES, "clarity": 12}, {"coverage": 3}]
    endpoint = serve(lambda body, number: panel([*broken, SCORES][number]))
    judged = configured(endpoint, PanelConfig).build().judge([item])
    assert 0 == judged.missing
    assert 3 == len(endpoint.requests)
