"""What the precision of the weights does to an update and to what is learned. Prints JSON.

`python benchmarks/precision.py [--quick] [KEY=VALUE ...]` trains the embedded model with each
`trainer.precision`, over seeds and at the default learning rate, then for a few steps at the
study's, and compares the share of weights that an update changes, the reward and the seconds.
Half the default's batch, because a bfloat16 step on a CPU takes longer than a float32 one.
`--quick` is one seed, ten steps and short completions, to see that it runs. The last line is the
report.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PRECISIONS = ("fp32", "bf16_master", "bf16_stochastic", "bf16")
STUDY, STUDY_STEPS = 2e-6, 5
"""The study's learning rate, at which the share of changed weights is what counts."""
SEEDS, STEPS, BATCH = (0, 1, 2), 20, ("trainer.prompts_per_step=2",)
QUICK_SEEDS, QUICK_STEPS, QUICK_BATCH = (
    (0,),
    10,
    (
        "trainer.prompts_per_step=1",
        "rollout.group_size=2",
        "rollout.max_tokens=48",
        "length.target=32",
    ),
)
WINDOW = 10
"""Steps that the reward at the start and at the end is the mean of."""
SKIPPED = 2
"""First steps, whose seconds are not counted: shapes are met for the first time."""

Step = dict[str, float]


def trained(precision: str, seed: int, steps: int, overrides: Sequence[str]) -> list[Step]:
    """The metrics of each step of one run."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [
                sys.executable,
                str(ROOT / "train.py"),
                f"trainer.precision={precision}",
                f"trainer.steps={steps}",
                f"seed={seed}",
                "data.test=1",
                "tracking=none",
                "hydra.run.dir=run",
                *overrides,
            ],
            cwd=folder,
            check=True,
            stdout=sys.stderr,
        )
        lines = (Path(folder) / "run" / "metrics.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if "update/changed_share" in line]


def mean(steps: Sequence[Step], name: str) -> float:
    """Of a metric, over steps."""
    return statistics.fmean(step[name] for step in steps)


def summary(runs: Sequence[Sequence[Step]]) -> dict[str, object]:
    """One precision: `runs` has one for each seed."""
    window = min(WINDOW, len(runs[0]) // 2)
    seconds = [
        step["time/waiting"] + step["time/updating"] for run in runs for step in run[SKIPPED:]
    ]
    return {
        "changed_share": round(statistics.fmean(mean(r, "update/changed_share") for r in runs), 4),
        "reward_start": [round(mean(run[:window], "reward/mean"), 4) for run in runs],
        "reward_end": [round(mean(run[-window:], "reward/mean"), 4) for run in runs],
        "reward_curve": [round(mean(steps, "reward/mean"), 3) for steps in zip(*runs, strict=True)],
        "seconds_a_step": round(statistics.median(seconds), 3),
    }


def main(arguments: Sequence[str]) -> None:
    """Precisions alternate, so that a drift of the machine's speed meets all alike."""
    quick = "--quick" in arguments
    seeds, steps, batch = (
        (QUICK_SEEDS, QUICK_STEPS, QUICK_BATCH) if quick else (SEEDS, STEPS, BATCH)
    )
    overrides = [*batch, *(argument for argument in arguments if argument != "--quick")]
    runs: dict[str, list[list[Step]]] = {precision: [] for precision in PRECISIONS}
    for seed in seeds:
        for precision in PRECISIONS:
            runs[precision].append(trained(precision, seed, steps, overrides))
    at_study_rate = {
        precision: trained(
            precision,
            seeds[0],
            1 if quick else STUDY_STEPS,
            [*overrides, f"trainer.learning_rate={STUDY}"],
        )
        for precision in (("bf16",) if quick else PRECISIONS)
    }
    report = {
        "seeds": seeds,
        "steps": len(runs["fp32"][0]),
        "overrides": overrides,
        "learning_rate": float(f"{runs['fp32'][0][0]['update/learning_rate']:.6g}"),
        "precisions": {precision: summary(each) for precision, each in runs.items()},
        "changed_share_at_2e-6": {
            precision: round(mean(run, "update/changed_share"), 4)
            for precision, run in at_study_rate.items()
        },
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1:])
