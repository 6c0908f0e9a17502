"""Seconds a step with sampling beside the update and with both in turn. Prints JSON.

Pairs of short runs alternate, so that a drift of the machine's speed meets both alike.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
STEPS, PAIRS = 12, 3
SKIPPED = 2
"""First steps, in which shapes are met for the first time and nothing is prefetched."""


def seconds_a_step(prefetch: int) -> dict[str, float]:
    """Median seconds of sampling, waiting and updating of one short run."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [
                sys.executable,
                str(ROOT / "train.py"),
                f"rollout.prefetch={prefetch}",
                f"trainer.steps={STEPS}",
                "data.test=1",
                "tracking=none",
                "hydra.run.dir=run",
            ],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        lines = (Path(folder) / "run" / "metrics.jsonl").read_text().splitlines()
    steps = [line for line in map(json.loads, lines) if "time/updating" in line][SKIPPED:]
    parts = {
        part: statistics.median(step[f"time/{part}"] for step in steps)
        for part in ("sampling", "waiting", "updating")
    }
    return parts | {
        "step": statistics.median(s["time/waiting"] + s["time/updating"] for s in steps)
    }


def main() -> None:
    """Alternate the two and report medians and the ratio of each pair."""
    in_turn, beside = [], []
    for _ in range(PAIRS):
        in_turn.append(seconds_a_step(0))
        beside.append(seconds_a_step(1))
    report = {
        name: {key: round(statistics.median(run[key] for run in runs), 3) for key in runs[0]}
        for name, runs in (("in_turn", in_turn), ("beside", beside))
    }
    ratios = [a["step"] / b["step"] for a, b in zip(in_turn, beside, strict=True)]
    print(json.dumps(report | {"speedup": [round(ratio, 2) for ratio in ratios]}, indent=1))


if __name__ == "__main__":
    main()
