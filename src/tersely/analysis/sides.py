"""One side of a comparison: the summaries of a configuration, or those before training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from tersely.analysis.configurations import Configuration
from tersely.analysis.measures import Measure
from tersely.evaluation.lengths import TOLERANCE

Row = Mapping[str, Any]
Scores = dict[str, float | None]
"""By `pairing_key`."""

BEFORE = "before training"


@dataclass(frozen=True)
class Side:
    """Summaries of the same posts, by one or several runs."""

    name: str
    tables: tuple[Mapping[str, Row], ...]
    """One a seed; rows by `pairing_key`."""
    target: int
    """Tokens."""

    @property
    def rows(self) -> list[Row]:
        """Of all seeds."""
        return [row for table in self.tables for row in table.values()]

    @property
    def lengths(self) -> list[int]:
        """Tokens, of all seeds."""
        return [row["length"] for row in self.rows]

    def by_run(self, measure: Measure) -> list[Scores]:
        """One mapping a seed."""
        return [{key: measure.of(row) for key, row in table.items()} for table in self.tables]

    def averaged(self, measure: Measure) -> Scores:
        """Over the seeds; None where one of them has no score."""
        return _averaged(self.by_run(measure))

    def mean_lengths(self) -> dict[str, float]:
        """Tokens, over the seeds; only posts that every seed has a summary of."""
        of_runs: list[Scores] = [
            {key: row["length"] for key, row in table.items()} for table in self.tables
        ]
        return {key: mean for key, mean in _averaged(of_runs).items() if mean is not None}

    def on_target(self, measure: Measure) -> Scores:
        """The mean score of those of a post's summaries that are within 5 tokens of the target;
        posts without any are left out."""
        found: dict[str, list[float | None]] = {}
        for table in self.tables:
            for key, row in table.items():
                if abs(row["length"] - self.target) <= TOLERANCE:
                    found.setdefault(key, []).append(measure.of(row))
        return {key: _mean(values) for key, values in found.items()}

    def single(self, measure: Measure) -> tuple[Scores, dict[str, int]]:
        """Scores and lengths of every summary by itself, whichever seed wrote it."""
        every = {
            f"{place}#{key}": row
            for place, table in enumerate(self.tables)
            for key, row in table.items()
        }
        return (
            {key: measure.of(row) for key, row in every.items()},
            {key: row["length"] for key, row in every.items()},
        )


def after_training(configuration: Configuration) -> Side:
    """The summaries that a comparison is about."""
    tables = tuple(run.after for run in configuration.runs)
    return Side(configuration.name, tables, configuration.target)


def before_training(configuration: Configuration) -> Side | None:
    """What its runs wrote before their first step; None where one of them left none."""
    tables = tuple(run.before for run in configuration.runs)
    return Side(BEFORE, tables, configuration.target) if all(tables) else None


def _averaged(of_runs: Sequence[Mapping[str, float | None]]) -> Scores:
    every = sorted(set().union(*of_runs))
    return {key: _mean([run.get(key) for run in of_runs]) for key in every}


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return fmean(there) if len(there) == len(values) else None
