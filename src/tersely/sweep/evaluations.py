"""The page that a sweep of `evaluate.py` ends with: one row an evaluation."""

from collections.abc import Sequence

from tersely.rewards.overlap import OVERLAP
from tersely.sweep.report import Links, page
from tersely.sweep.result import JobResult
from tersely.sweep.table import MISSING, as_mapping, number

COLUMNS = {
    **{label: (name, ".3f") for name, label in OVERLAP.items()},
    "composite": ("judge/composite_sum", ".3f"),
    "pass rate": ("judge/pass_rate", ".0%"),
    "missing": ("judge/missing", ".0f"),
    "mean length": ("length_mean", ".1f"),
    "within ±5": ("within_5_share", ".0%"),
}


def evaluations_text(
    name: str,
    results: Sequence[JobResult],
    links: Links | None,
    not_begun: Sequence[Sequence[str]] = (),
) -> str:
    """Markdown: the table, what failed and why, the overrides of the evaluations that have not
    begun, and how to compare the runs in MLflow."""
    note = "Scores are means over summaries, lengths in tokens; composite: 0 to 4."
    return page(name, results, evaluation_table(results), note, links, not_begun)


def evaluation_table(results: Sequence[JobResult]) -> list[dict[str, str]]:
    """Rows of column -> text: every override in which the evaluations differ, then the scores."""
    chosen = [as_mapping(result.overrides) for result in results]
    keys = sorted({key for mapping in chosen for key in mapping})
    axes = [key for key in keys if len({mapping.get(key) for mapping in chosen}) > 1]
    return [
        {
            **{axis: mapping.get(axis, MISSING) for axis in axes},
            **{name: number(measure(result, key), form) for name, (key, form) in COLUMNS.items()},
            "status": result.status,
        }
        for mapping, result in zip(chosen, results, strict=True)
    ]


def measure(result: JobResult, key: str) -> float | None:
    """The metric `key` of an evaluation, whatever its name is; None where it was not measured."""
    found = (value for name, value in result.metrics.items() if name.endswith(f"/{key}"))
    return next(found, None)
