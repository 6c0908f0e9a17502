"""The study's composite and pass rate, and what a missing metric does to them."""

from typing import Any

import pytest

from tersely.evaluation.composite import METRICS, PassRate, composite_mean, composite_sum, pass_rate

SCORES = {"faithfulness": 0.9, "coverage": 0.5, "conciseness": 0.6, "clarity": 0.8}


def judged(id: str, round: int, *scores: float | None) -> list[dict[str, Any]]:
    """Rows of one round, with the metrics in their order."""
    return [
        {"id": id, "round": round, "metric": metric, "score": score}
        for metric, score in zip(METRICS, scores, strict=True)
    ]


def test_sum_and_mean() -> None:
    """0.9 + 0.5 + 0.6 + 0.8 = 2.8, of 4."""
    assert 2.8 == pytest.approx(composite_sum(SCORES))
    assert 0.7 == pytest.approx(composite_mean(SCORES))


@pytest.mark.parametrize("scores", [{**SCORES, "clarity": None}, {"clarity": 1.0}, {}])
def test_a_missing_metric_is_no_0(scores: dict[str, float | None]) -> None:
    assert composite_sum(scores) is None
    assert composite_mean(scores) is None


def test_pass_rate_by_hand() -> None:
    """`p` passes 1 of 2 rounds (all at least 0.5; then one at 0.4), `q` 2 of 2: (1/2 + 1) / 2."""
    rows = [
        *judged("p", 0, 0.5, 0.5, 0.5, 0.5),
        *judged("p", 1, 0.9, 0.4, 0.9, 0.9),
        *judged("q", 0, 0.6, 0.7, 0.8, 0.9),
        *judged("q", 1, 1.0, 1.0, 1.0, 1.0),
    ]
    assert PassRate(0.75, rounds=4, missing=0) == pass_rate(rows)
    assert PassRate(0.25, rounds=4, missing=0) == pass_rate(rows, threshold=0.95)


def test_a_round_without_a_metric_is_left_out_and_counted() -> None:
    """Of `p` one whole round is left, and it passes; `q` has none and does not count as failing."""
    rows = [
        *judged("p", 0, 0.9, 0.9, 0.9, 0.9),
        *judged("p", 1, 0.1, None, 0.1, 0.1),
        *judged("q", 0, 0.1, 0.1, 0.1, 0.1)[:3],
    ]
    assert PassRate(1.0, rounds=1, missing=2) == pass_rate(rows)


def test_no_verdicts_have_no_pass_rate() -> None:
    assert PassRate(None, rounds=0, missing=0) == pass_rate([])
