"""How far the panel agrees with G-Eval on the same summaries. Prints JSON; wants a judge.

`python benchmarks/agreement.py TABLE --base-url http://127.0.0.1:8000/v1 --model NAME` judges the
summaries of `tables/summaries_after.jsonl` of a run by both, with the same rounds. The key, if the
endpoint wants one, is in $OPENAI_API_KEY. Verdicts are cached as those of runs are.

For each metric: `r`, Pearson's correlation over summaries (null where one judge gives all the same
score); `panel_minus_geval`, the mean difference with its standard error; `apart`, the mean
absolute difference; `n`, summaries that both have a score for. `requests` of either.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from tersely.analysis.correlation import pearson
from tersely.evaluation.judges.config import GevalConfig, PanelConfig
from tersely.evaluation.judges.verdicts import METRICS, Judged


def summaries(table: Path, most: int) -> list[Judged]:
    """The first `most` rows of a summary table."""
    rows = [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]
    return [Judged(row["id"], row["post"], row["summary"]) for row in rows[:most]]


def compared(panel: list[float | None], geval: list[float | None]) -> dict[str, Any]:
    """Of one metric, over the summaries that both judges have a score for."""
    both = [(a, b) for a, b in zip(panel, geval, strict=True) if a is not None and b is not None]
    if len(both) < 2:
        return {"n": len(both)}
    a, b = np.array(both).T
    error = (a - b).std(ddof=1) / np.sqrt(len(both))
    r = pearson(a, b)
    return {
        "n": len(both),
        "r": None if r is None else round(r, 3),
        "panel_minus_geval": round(float((a - b).mean()), 3),
        "standard_error": round(float(error), 3),
        "apart": round(float(abs(a - b).mean()), 3),
    }


def main() -> None:
    """Judge by both and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--summaries", type=int, default=200)
    arguments = parser.parse_args()
    values: dict[str, Any] = {
        "base_url": arguments.base_url,
        "model": arguments.model,
        "rounds": arguments.rounds,
        "api_key_env": "OPENAI_API_KEY" if "OPENAI_API_KEY" in os.environ else None,
    }
    items = summaries(arguments.table, arguments.summaries)
    found = {
        name: config(**values).build().judge(items)
        for name, config in (("panel", PanelConfig), ("geval", GevalConfig))
    }
    means = {name: verdicts.means() for name, verdicts in found.items()}
    report: dict[str, Any] = {
        metric: compared(
            *([means[name][item.id][metric] for item in items] for name in ("panel", "geval"))
        )
        for metric in METRICS
    }
    report["requests"] = {name: verdicts.usage.calls for name, verdicts in found.items()}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
