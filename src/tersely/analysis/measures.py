"""What configurations are compared by: whichever scores their summaries have."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from tersely.evaluation.composite import METRICS
from tersely.rewards.overlap import OVERLAP

Row = Mapping[str, Any]
JUDGED = tuple(f"judge/{metric}" for metric in METRICS)
LABELS = {
    **{f"judge/{metric}": metric for metric in METRICS},
    "fact_coverage": "fact coverage",
    "fact_faithfulness": "fact faithfulness",
    **OVERLAP,
}
"""Every column of a summary table that is a score, and what a report calls it."""


@dataclass(frozen=True)
class Measure:
    """One score of a summary, made of columns of its row."""

    name: str
    columns: tuple[str, ...]
    summed: bool
    """Whether it is their sum, else their mean."""
    meaning: str

    def of(self, row: Row) -> float | None:
        """None if one of the columns is missing: a failure is never a score."""
        found = [score for column in self.columns if (score := row.get(column)) is not None]
        if len(found) != len(self.columns):
            return None
        return sum(found) if self.summed else fmean(found)

    @property
    def most(self) -> float:
        """The best possible score; the worst is 0."""
        return float(len(self.columns)) if self.summed else 1.0


MEASURES = (
    Measure(
        "composite", JUDGED, True, "the sum of faithfulness, coverage, conciseness and clarity"
    ),
    Measure(
        "fact score",
        ("fact_coverage", "fact_faithfulness"),
        False,
        "the mean of fact coverage and fact faithfulness",
    ),
    Measure("ROUGE-L", ("rouge_l",), False, "ROUGE-L F1 against the reference"),
)
"""The first that all have is taken."""


def measure_of(tables: Iterable[Iterable[Row]]) -> Measure | None:
    """The first of `MEASURES` whose columns every table has; None if there is none."""
    columns = [{key for row in table for key in row} for table in tables]
    for measure in MEASURES:
        if columns and all(known.issuperset(measure.columns) for known in columns):
            return measure
    return None


def scores_there(tables: Sequence[Iterable[Row]]) -> list[str]:
    """The columns of `LABELS` that some table has, in that order."""
    known = {key for table in tables for row in table for key in row}
    return [column for column in LABELS if column in known]


def mean_of(rows: Iterable[Row], column: str) -> float | None:
    """Over the rows that have it; None if none has."""
    found = [score for row in rows if (score := row.get(column)) is not None]
    return fmean(found) if found else None
