"""What a judge is given and what it gives back. A failure is a verdict without a score."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from statistics import fmean
from typing import Protocol

from tersely.evaluation.composite import METRICS, PassRate, pass_rate
from tersely.records import Fact

BUDGET = "budget"
"""Reason of a verdict that was not asked for because the budget was spent."""


@dataclass(frozen=True)
class Judged:
    """A summary to judge."""

    id: str
    """Distinct among what is judged together: of several summaries of a post each has its own."""
    post: str
    summary: str
    facts: tuple[Fact, ...] = ()
    """Of the post; empty where they are not known."""


@dataclass(frozen=True)
class Verdict:
    """What a judge found in one round for one metric of one summary."""

    id: str
    metric: str
    round: int
    """Counted from 0."""
    score: float | None
    """In [0, 1]; None where it is missing, and then `reason` says why."""
    reason: str
    judge: str
    cached: bool = False
    """Whether it was known from an earlier evaluation."""


@dataclass(frozen=True)
class Usage:
    """What an evaluation asked of an endpoint and what that cost."""

    calls: int = 0
    """Requests that count: those answered, and those given up when their time was over."""
    cached: int = 0
    """Requests that the cache spared."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = None
    """None where the price is not known."""


@dataclass(frozen=True)
class Verdicts:
    """All verdicts of an evaluation."""

    verdicts: tuple[Verdict, ...] = ()
    threshold: float = 0.5
    """A round passes when all four metrics reach it."""
    usage: Usage = field(default_factory=Usage)

    def rows(self) -> list[dict[str, object]]:
        """One line a verdict, for `tables/verdicts_<split>.jsonl`."""
        return [asdict(verdict) for verdict in self.verdicts]

    def means(self) -> dict[str, dict[str, float | None]]:
        """Id to metric to the mean over the rounds that are there, None if there is none."""
        scores: dict[str, dict[str, list[float]]] = {}
        for verdict in self.verdicts:
            found = scores.setdefault(verdict.id, {}).setdefault(verdict.metric, [])
            if verdict.score is not None:
                found.append(verdict.score)
        return {
            id: {metric: fmean(found) if found else None for metric, found in of_id.items()}
            for id, of_id in scores.items()
        }

    @property
    def missing(self) -> int:
        """Verdicts without a score, those that the budget did not reach included."""
        return sum(verdict.score is None for verdict in self.verdicts)

    @property
    def unpaid(self) -> int:
        """Those of `missing` that the budget did not reach."""
        return sum(v.score is None and v.reason == BUDGET for v in self.verdicts)

    @cached_property
    def passed(self) -> PassRate:
        """How often all four metrics of a round reach the threshold, as in the study."""
        return pass_rate(self.rows(), self.threshold)

    def metrics(self) -> dict[str, float]:
        """Numbers for a tracker: the mean of each metric over summaries, the pass rate, how many
        verdicts are missing, calls, and dollars where they are known. Empty without verdicts."""
        if not self.verdicts:
            return {}
        per_metric: dict[str, list[float]] = {}
        for of_id in self.means().values():
            for metric, mean in of_id.items():
                if mean is not None:
                    per_metric.setdefault(metric, []).append(mean)
        numbers = {f"judge/{metric}": fmean(means) for metric, means in per_metric.items()}
        if self.passed.rate is not None:
            numbers["judge/pass_rate"] = self.passed.rate
        numbers["judge/missing"] = float(self.missing)
        if self.usage.calls or self.usage.cached:
            numbers["judge/calls"] = float(self.usage.calls)
        if self.usage.usd is not None:
            numbers["judge/usd"] = self.usage.usd
        return numbers


class Judge(Protocol):
    """Judges summaries. One that asks an endpoint shows a bar with the cost so far."""

    @property
    def name(self) -> str:
        """What stands in each verdict: which judge, and of which model."""
        ...

    @property
    def metrics(self) -> tuple[str, ...]:
        """What it scores; empty for a judge that judges nothing."""
        ...

    def judge(self, items: Sequence[Judged]) -> Verdicts:
        """Verdicts on all of `items`, in rounds.

        Raises `JudgeError` if the judge cannot be asked or too many verdicts are missing.
        """
        ...


__all__ = ["BUDGET", "METRICS", "Judge", "Judged", "PassRate", "Usage", "Verdict", "Verdicts"]
