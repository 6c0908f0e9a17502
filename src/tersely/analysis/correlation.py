"""How metrics go together over summaries."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

import numpy as np

from tersely.analysis.paired import Floats

Row = Mapping[str, float | None]
"""The metrics of one summary."""
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Correlation:
    """Of two metrics."""

    r: float | None
    """None where it does not exist: fewer than two summaries, or a metric that never varies."""
    n: int
    missing: int
    """Summaries left out because one of the two metrics is missing."""


def pearson(x: Sequence[float], y: Sequence[float]) -> float | None:
    """`r = sum((x - mx)(y - my)) / sqrt(sum((x - mx)^2) sum((y - my)^2))`; None where that is 0/0.

    Pearson, 1895, "Notes on Regression and Inheritance in the Case of Two Parents".
    """
    if len(x) < 2 or min(x) == max(x) or min(y) == max(y):
        return None
    a, b = centred(x), centred(y)
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1, 1))


def centred(values: Sequence[float]) -> Floats:
    """Less their mean, in units of the largest, so that no square underflows."""
    less_mean = np.asarray(values, dtype=np.float64) - np.mean(values)
    return np.asarray(less_mean / np.abs(less_mean).max())


def correlations(rows: Sequence[Row], metrics: Sequence[str]) -> dict[tuple[str, str], Correlation]:
    """Of every two metrics, first the one that comes first in `metrics`.

    A summary without one of the two is left out of that pair alone, and counted.
    """
    return {(x, y): correlation(rows, x, y) for x, y in combinations(metrics, 2)}


def correlation(rows: Sequence[Row], x: str, y: str) -> Correlation:
    """Of two metrics over summaries."""
    both = [
        (a, b) for row in rows if (a := row.get(x)) is not None and (b := row.get(y)) is not None
    ]
    r = pearson([a for a, _ in both], [b for _, b in both])
    return Correlation(r, len(both), len(rows) - len(both))


def pooled_correlations(
    runs: Iterable[tuple[Key, Sequence[Row]]], metrics: Sequence[str]
) -> dict[Key, dict[tuple[str, str], Correlation]]:
    """As in the study: the summaries of all runs with the same key in one pot.

    The key is `(model, strategy)` there, and its runs differ in their reward.
    """
    pots: dict[Key, list[Row]] = {}
    for key, rows in runs:
        pots.setdefault(key, []).extend(rows)
    return {key: correlations(rows, metrics) for key, rows in pots.items()}
