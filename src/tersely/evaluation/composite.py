"""What the study makes of the judged metrics: one score, and whether a summary passes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

METRICS = ("faithfulness", "coverage", "conciseness", "clarity")
"""In the study's order; each in [0, 1]."""


def composite_sum(
    scores: Mapping[str, float | None], metrics: Sequence[str] = METRICS
) -> float | None:
    """The sum, 0 to 4 for four metrics, as in the study's tables; None if one is missing.

    A sum without one of its metrics would be a lower score, and a failure is never a score.
    """
    found = [score for metric in metrics if (score := scores.get(metric)) is not None]
    return sum(found) if len(found) == len(metrics) else None


def composite_mean(
    scores: Mapping[str, float | None], metrics: Sequence[str] = METRICS
) -> float | None:
    """The mean, 0 to 1, as in the study's first post; None if one is missing."""
    total = composite_sum(scores, metrics)
    return None if total is None else total / len(metrics)


@dataclass(frozen=True)
class PassRate:
    """How often summaries pass."""

    rate: float | None
    """None if no round has all its metrics."""
    rounds: int
    """Rounds, over all examples, that count."""
    missing: int
    """Rounds left out because a metric is missing."""


def pass_rate(
    verdicts: Iterable[Mapping[str, Any]],
    threshold: float = 0.5,
    metrics: Sequence[str] = METRICS,
) -> PassRate:
    """The share of an example's rounds that pass, averaged over examples, as in the study.

    A round passes when all its metrics are at least `threshold`. `verdicts` are rows with `id`,
    `round`, `metric` and `score`, None where it is missing.
    """
    rounds: dict[str, dict[Any, dict[str, float | None]]] = {}
    for row in verdicts:
        rounds.setdefault(row["id"], {}).setdefault(row["round"], {})[row["metric"]] = row["score"]
    shares, counted, missing = [], 0, 0
    for of_example in rounds.values():
        whole = [
            [score for metric in metrics if (score := scores.get(metric)) is not None]
            for scores in of_example.values()
        ]
        whole = [scores for scores in whole if len(scores) == len(metrics)]
        counted += len(whole)
        missing += len(of_example) - len(whole)
        if whole:
            shares.append(sum(min(scores) >= threshold for scores in whole) / len(whole))
    return PassRate(sum(shares) / len(shares) if shares else None, counted, missing)
