"""Runs as the real tracker leaves them, with scores that a test has chosen."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tersely.evaluation.composite import METRICS
from tersely.sweep.result import JobResult
from tersely.tracking import NoTracking, TrackingConfig
from tersely.tracking.tracker import Tracker

STEPS = 4


def write_run(
    folder: Path,
    scores: Sequence[float | None],
    *,
    reward: str = "rouge",
    strategy: str = "joint",
    seed: int = 0,
    model: str = "tiny",
    lengths: Sequence[int] = (),
    before: Sequence[float] = (),
    judged: bool = True,
    tracking: TrackingConfig | None = None,
    tags: Mapping[str, str] | None = None,
    overrides: str = "",
    error: Exception | None = None,
) -> str | None:
    """A run whose post i is scored `scores[i]`: by each of the four metrics if `judged`, else by
    ROUGE-L. Its id in the store."""
    name = f"{reward} {strategy} seed {seed}"
    tracker = (tracking or NoTracking()).build(folder, name, tags or {})
    lengths = lengths or [64] * len(scores)
    try:
        with tracker:
            tracker.params(
                {"model": model, "strategy": strategy, "reward": reward, "seed": seed, "target": 64}
            )
            tracker.tags({"folder": str(folder), "overrides": overrides})
            if error is not None:
                raise error
            write_steps(tracker)
            rows = [row(i, score, lengths[i], judged) for i, score in enumerate(scores)]
            tracker.table("summaries_after", rows)
            if before:
                tracker.table(
                    "summaries_before", [row(i, s, 90, judged) for i, s in enumerate(before)]
                )
            if judged:
                tracker.table("verdicts_test", verdicts(scores))
    except type(error or ZeroDivisionError):
        pass
    status = "FINISHED" if error is None else "FAILED"
    overriding = tuple(overrides.split())
    JobResult(status, overriding, reward, strategy, model, seed, tracker.run_id).write(folder)
    return tracker.run_id


def write_steps(tracker: Tracker) -> None:
    for step in range(1, STEPS + 1):
        values = {"reward/mean": step / 10, "length/mean": 100 - step, "loss/ratio_mean": 1.0}
        tracker.metrics({**values, "time/sampling": 1.0}, step)


def row(place: int, score: float | None, length: int, judged: bool) -> dict[str, object]:
    scores = {f"judge/{metric}": score for metric in METRICS} if judged else {"rouge_l": score}
    return {
        "id": f"post-{place}",
        "summary": f"summary {place}",
        "reference": f"reference {place}",
        "length": length,
        "stopped": True,
        **scores,
        "post": f"post {place}",
    }


def verdicts(scores: Sequence[float | None]) -> list[dict[str, object]]:
    """One round, in which every metric has the post's score."""
    return [
        {"id": f"post-{i}", "metric": metric, "round": 0, "score": score, "judge": "chosen"}
        for i, score in enumerate(scores)
        for metric in METRICS
    ]
