"""From scored summaries to judged ones: what a judge is given, and where its verdicts go."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from tersely.evaluation.composite import composite_mean, composite_sum
from tersely.evaluation.judges.verdicts import Judge, Judged, Verdicts
from tersely.evaluation.scores import SummaryScores
from tersely.evaluation.summaries import Summary
from tersely.tracking.tracker import Tracker


def judge_and_keep(
    judge: Judge,
    scores: Sequence[SummaryScores],
    tracker: Tracker,
    *,
    when: str,
    summaries: str,
    verdicts: str,
) -> dict[str, float]:
    """Judge, and keep what was found: the table `summaries` with the judged columns, the table
    `verdicts` with a row a verdict. Returns `judge/...` metrics; none from a judge of nothing.
    """
    if not judge.metrics:
        return {}
    judged, found = judge_summaries(judge, scores)
    if not found.verdicts:
        return {}
    tracker.table(summaries, [each.row(when) for each in judged])
    tracker.table(verdicts, found.rows())
    return judged_metrics(judged, found)


def judge_summaries(
    judge: Judge, scores: Sequence[SummaryScores]
) -> tuple[list[SummaryScores], Verdicts]:
    """The summaries with the mean of each judged metric, and every verdict.

    A mean over no verdict is None. Raises `JudgeError` if the judge cannot be asked or leaves too
    many verdicts missing; those that are there are in its cache.
    """
    verdicts = judge.judge([_judged(each.summary) for each in scores])
    means = verdicts.means()
    return [replace(each, judged=means.get(_id(each.summary), {})) for each in scores], verdicts


def _judged(summary: Summary) -> Judged:
    example = summary.example
    return Judged(_id(summary), example.post, summary.text, example.facts)


def _id(summary: Summary) -> str:
    """The example's own id, so that verdicts join with summaries; a further sample adds its
    number."""
    return f"{summary.example.id}#{summary.sample}" if summary.sample else summary.example.id


def judged_metrics(scores: Sequence[SummaryScores], verdicts: Verdicts) -> dict[str, float]:
    """`judge/<metric>` and what the judge says of its work, with the study's composites.

    A composite is the mean over the summaries that have all four metrics; it is left out where
    none has.
    """
    metrics = verdicts.metrics()
    for name, composite in (("sum", composite_sum), ("mean", composite_mean)):
        found = [composite(each.judged) for each in scores]
        there = [value for value in found if value is not None]
        if there:
            metrics[f"judge/composite_{name}"] = fmean(there)
    return metrics
