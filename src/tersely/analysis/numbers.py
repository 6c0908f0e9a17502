"""A report's numbers as JSON, for programs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import Any

from tersely.analysis.comparison import Comparison
from tersely.analysis.document import Page
from tersely.analysis.measures import mean_of
from tersely.analysis.results import Results, mean_score
from tersely.evaluation.lengths import length_metrics


def report_json(page: Page, results: Results) -> dict[str, Any]:
    """Everything that the tables show, unrounded. What is not finite or not decided is null."""
    return {
        "title": page.title,
        "headline": page.headline,
        "warnings": list(page.warnings),
        "measure": {"name": results.measure.name, "columns": list(results.measure.columns)},
        "runs": [
            {
                "name": run.name,
                "run_id": run.run_id,
                "status": run.tags.get("status"),
                "seed": run.seed,
                "params": dict(run.params),
            }
            for run in results.runs
        ],
        "configurations": [
            plain(configuration_json(results, each.name)) for each in results.configurations
        ],
        "against_baseline": [comparison_json(each) for each in results.against_baseline],
        "staged_against_joint": [comparison_json(each) for each in results.same_reward],
        "best": [
            {**asdict(best), "comparison": comparison_json(test)}
            for best, test in zip(results.best, results.best_compared, strict=True)
        ],
        "correlations": [
            {"model": model, "strategy": strategy, "x": x, "y": y, **asdict(found)}
            for (model, strategy), pool in results.correlations.items()
            for (x, y), found in pool.items()
        ],
    }


def configuration_json(results: Results, name: str) -> dict[str, Any]:
    side = results.sides[name]
    (known,) = (each for each in results.configurations if each.name == name)
    rate = results.pass_rates.get(name)
    return {
        "name": name,
        "identity": dict(known.identity),
        "seeds": list(known.seeds),
        "summaries": len(side.rows),
        "score": mean_score(side, results.measure),
        "means": {column: mean_of(side.rows, column) for column in results.columns},
        "pass_rate": None if rate is None else asdict(rate),
        "lengths": length_metrics(side.lengths, side.target),
    }


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    found = plain(comparison)
    assert isinstance(found, dict)
    return {
        **found,
        "difference": plain(comparison.difference),
        "p": plain(comparison.p),
        "interval": plain(comparison.interval),
        "over_seeds": comparison.over_seeds,
    }


def plain(value: Any) -> Any:
    """What JSON has: no infinity, no records, no tuples."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value
