"""The results of a sweep as a table: one row a job."""

import re
from collections.abc import Mapping, Sequence

from tersely.rewards.overlap import OVERLAP
from tersely.sweep.result import JobResult

MISSING = "-"
SCORES = {label: f"test/after/{name}" for name, label in OVERLAP.items()}
JUDGED = {
    "composite": ("test/after/judge/composite_sum", ".3f"),
    "pass rate": ("test/after/judge/pass_rate", ".0%"),
    "missing": ("test/after/judge/missing", ".0f"),
}
"""Columns of a sweep any of whose jobs was judged."""
NOT_A_TERM = {"reward/mean", "reward/std_within_group", "reward/zero_std_share"}


def sweep_table(results: Sequence[JobResult]) -> list[dict[str, str]]:
    """Rows of column -> text, in the order of their labels.

    The labels are reward and strategy; where those do not tell the jobs apart, every override
    that differs between jobs follows them (a seed, a learning rate).
    """
    axes = differing_overrides(results)
    rows = [(labels(result, axes), result) for result in results]
    rows.sort(key=lambda row: [natural(label) for label in row[0].values()])
    judged = judged_columns(results)
    return [{**label, **measures(result, judged)} for label, result in rows]


def judged_columns(results: Sequence[JobResult]) -> list[str]:
    """Those of `JUDGED` that some job has; missing verdicts only where there are any."""
    found = {name: [r.metrics.get(key) for r in results] for name, (key, _) in JUDGED.items()}
    return [
        name
        for name, values in found.items()
        if any(value is not None and (value > 0 or name != "missing") for value in values)
    ]


def differing_overrides(results: Sequence[JobResult]) -> list[str]:
    """The override keys that are needed beside reward and strategy; empty if those suffice."""
    if len({(result.reward, result.strategy) for result in results}) == len(results):
        return []
    chosen = [as_mapping(result.overrides) for result in results]
    keys = sorted({key for mapping in chosen for key in mapping} - {"reward", "strategy"})
    return [key for key in keys if len({mapping.get(key) for mapping in chosen}) > 1]


def as_mapping(overrides: Sequence[str]) -> dict[str, str]:
    """`["seed=3", "+x=1"]` -> `{"seed": "3", "x": "1"}`."""
    pairs = (override.lstrip("+~").partition("=") for override in overrides)
    return {key: value for key, _, value in pairs}


def labels(result: JobResult, axes: Sequence[str]) -> dict[str, str]:
    chosen = as_mapping(result.overrides)
    return {
        "reward": result.reward,
        "strategy": result.strategy,
        **{axis: chosen.get(axis, MISSING) for axis in axes},
    }


def measures(result: JobResult, judged: Sequence[str] = ()) -> dict[str, str]:
    metrics = result.metrics
    return {
        "train reward": number(metrics.get("reward/mean"), ".3f"),
        "of which": reward_terms(metrics),
        **{name: number(metrics.get(key), ".3f") for name, key in SCORES.items()},
        **{name: number(metrics.get(JUDGED[name][0]), JUDGED[name][1]) for name in judged},
        "mean length": number(metrics.get("test/after/length_mean"), ".1f"),
        "within ±5": number(metrics.get("test/after/within_5_share"), ".0%"),
        "status": result.status,
    }


def reward_terms(metrics: Mapping[str, float]) -> str:
    """What the reward is the sum of: `length -0.050, rouge 0.460`."""
    terms = sorted(key for key in metrics if is_term(key))
    return (
        ", ".join(f"{key.removeprefix('reward/')} {metrics[key]:.3f}" for key in terms) or MISSING
    )


def is_term(key: str) -> bool:
    term = key.startswith("reward/") and key not in NOT_A_TERM
    return term and not key.endswith("_std_within_group")


def number(value: float | None, form: str) -> str:
    return MISSING if value is None else format(value, form)


def natural(label: str) -> list[tuple[int, float, str]]:
    """A sort key in which 9 comes before 10."""
    parts = re.findall(r"\d+(?:\.\d+)?|\D+", label)
    return [(0, float(p), "") if p[0].isdigit() else (1, 0.0, p) for p in parts]


def as_markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """A Markdown table padded to be read in a terminal too; numbers stand to the right."""
    columns = list(rows[0])
    widths = {c: max(3, len(c), *(len(row[c]) for row in rows)) for c in columns}
    right = {c for c in columns if all(re.match(r"-?\d|-$", row[c]) for row in rows)}

    def line(row: Mapping[str, str]) -> str:
        cells = (
            row[c].rjust(widths[c]) if c in right else row[c].ljust(widths[c]) for c in columns
        )
        return "| " + " | ".join(cells) + " |"

    rule = {c: "-" * (widths[c] - 1) + (":" if c in right else "-") for c in columns}
    return "\n".join(line(row) for row in ({c: c for c in columns}, rule, *rows))
