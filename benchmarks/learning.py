"""What the default run learns, over seeds. Prints JSON.

`python benchmarks/learning.py [KEY=VALUE ...]` runs `python train.py` with seeds 0, 1, 2 and the
given overrides, and reports the test split before and after training.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SEEDS = (0, 1, 2)
SHOWN = (
    "length_mean",
    "length_std",
    "length_mean_abs_error",
    "within_5_share",
    "rouge_l",
    "meteor",
    "bleu",
    "fact_coverage",
    "fact_faithfulness",
    "stopped_share",
)


def metrics_of(seed: int, overrides: list[str]) -> dict[str, float]:
    """The results of one run."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [
                sys.executable,
                str(ROOT / "train.py"),
                f"seed={seed}",
                "tracking=none",
                "hydra.run.dir=run",
                *overrides,
            ],
            cwd=folder,
            check=True,
        )
        result = json.loads((Path(folder) / "run" / "result.json").read_text())
    metrics: dict[str, float] = result["metrics"]
    return metrics


def main(overrides: list[str]) -> None:
    """Mean over seeds before and after, and each seed's value after."""
    runs = [metrics_of(seed, overrides) for seed in SEEDS]
    report = {}
    for name in SHOWN:
        after = [run[f"test/after/{name}"] for run in runs]
        report[name] = {
            "before": round(statistics.fmean(run[f"test/before/{name}"] for run in runs), 4),
            "after": round(statistics.fmean(after), 4),
            "after_by_seed": [round(value, 4) for value in after],
        }
    print(json.dumps({"seeds": SEEDS, "overrides": overrides, "test": report}, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
