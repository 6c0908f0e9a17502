"""Scores of summaries: lexical overlap with the references, lengths, and facts where known."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from tersely.data.facts import coverage, faithfulness
from tersely.errors import TrainingDiverged
from tersely.evaluation.lengths import length_metrics
from tersely.evaluation.summaries import Summary
from tersely.records import Example
from tersely.rewards.quality import Metric, best


@dataclass(frozen=True)
class SummaryScores:
    """Scores of one summary."""

    summary: Summary
    overlap: Mapping[str, float]
    """Metric name (rouge_l, meteor, bleu) to its score against the best reference."""
    facts: Mapping[str, float]
    """fact_coverage and fact_faithfulness; empty where the facts are not known."""
    judged: Mapping[str, float | None] = field(default_factory=dict)
    """Judged metric to its mean over rounds, None where every verdict is missing; empty where
    nobody judged."""

    def row(self, when: str) -> dict[str, object]:
        """One line of the summary table; `when` is `before` or `after` training, or the name of
        an evaluation."""
        example = self.summary.example
        return {
            "when": when,
            "id": example.id,
            **({} if self.summary.sample is None else {"sample": self.summary.sample}),
            "domain": example.domain,
            "summary": self.summary.text,
            "reference": example.references[0],
            "length": self.summary.length,
            "stopped": self.summary.stopped,
            **self.overlap,
            **self.facts,
            **{f"judge/{name}": score for name, score in self.judged.items()},
            "post": example.post,
        }


def score_summaries(
    summaries: Sequence[Summary], metrics: Mapping[str, Metric]
) -> list[SummaryScores]:
    """Score each summary by each of `metrics`, and by its facts where the data has them."""
    return [_score(summary, metrics) for summary in summaries]


def _score(summary: Summary, metrics: Mapping[str, Metric]) -> SummaryScores:
    example = summary.example
    fact_metrics: dict[str, Callable[..., float]] = {
        "fact_coverage": coverage,
        "fact_faithfulness": faithfulness,
    }
    overlap = {
        name: best(metric, summary.text, example.references) for name, metric in metrics.items()
    }
    for name, score in overlap.items():
        if not math.isfinite(score):
            raise TrainingDiverged(
                f"{name} gave {score} for the summary of example {example.id!r}; a score must be a "
                "finite number, or every mean over it is none. Score that summary by itself to "
                "find the cause"
            )
    return SummaryScores(
        summary,
        overlap,
        {
            name: metric(summary.text, example.facts)
            for name, metric in (fact_metrics if example.facts else {}).items()
        },
    )


def score_names(
    metrics: Mapping[str, Metric], examples: Sequence[Example], target: int
) -> list[str]:
    """What `means` will have of summaries of `examples`."""
    summaries = [Summary(example, "", 0, stopped=True) for example in examples]
    return list(means(score_summaries(summaries, metrics), target)) if summaries else []


def means(scores: Sequence[SummaryScores], target: int) -> dict[str, float]:
    """Means over summaries of every score, length statistics, and the share that stopped. Where
    some summaries lack a score (facts are known of part of the posts), its mean is that of the
    others."""
    rows = [{**each.overlap, **each.facts} for each in scores]
    names = dict.fromkeys(name for row in rows for name in row)
    return {
        **{name: fmean(row[name] for row in rows if name in row) for name in names},
        **length_metrics([each.summary.length for each in scores], target),
        "stopped_share": fmean(each.summary.stopped for each in scores),
    }
