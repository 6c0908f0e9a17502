"""Claim: a report on 42 runs of 200 examples and 1,000 steps takes under 20 seconds on two cores.

    python benchmarks/report.py [--quick] [--keep FOLDER]

Prints JSON: the seconds of `python report.py sweep=many tracking=none`, from the command to its
end, and the size of the page. The runs are 7 rewards x 2 strategies x 3 seeds, judged in 5 rounds;
their files are written here by the tracker that real runs use, with drawn numbers and words.
`--quick` takes 4 runs of 20 examples and 100 steps. `--keep` leaves runs and report in FOLDER.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from itertools import product
from pathlib import Path

from tersely.evaluation.composite import METRICS
from tersely.sweep.result import JobResult
from tersely.tracking.folder_run import FolderRun

SCRIPT = Path(__file__).parents[1] / "report.py"
REWARDS = ("length", "rouge", "meteor", "bleu", "meteor_rouge", "meteor_bleu", "bleu_rouge")
STRATEGIES = ("joint", "staged")
SEEDS = (0, 1, 2)
TARGET, ROUNDS = 64, 5
WORDS = ("my", "friend", "went", "to", "the", "old", "house", "by", "lake", "but", "nobody", "left")
OTHERS = (
    "reward/zero_std_share", "reward/length", "reward/rouge", "length/min", "length/max",
    "rollout/stopped_share", "rollout/staleness", "loss/total", "loss/surrogate",
    "loss/mismatch_kl", "loss/capped_share", "update/changed_share", "update/learning_rate",
    "time/sampling", "time/waiting", "time/updating", "speed/tokens_per_second", "memory/peak_gb",
)  # fmt: skip
"""What a real run measures beside what a report shows; it has to be read all the same."""


def write_runs(sweep: Path, examples: int, steps: int, most: int) -> int:
    """The folders of a sweep's runs; how many."""
    draw = random.Random(0)
    posts = [text(draw, 230) for _ in range(examples)]
    ease = [draw.gauss(0, 0.12) for _ in range(examples)]
    chosen = list(product(REWARDS, STRATEGIES, SEEDS))[:most]
    for reward, strategy, seed in chosen:
        folder = sweep / f"reward={reward},seed={seed},strategy={strategy}"
        with FolderRun(folder, f"{reward} {strategy} seed {seed}", {"sweep": sweep.name}) as run:
            run.params(
                {"model": "tiny", "strategy": strategy, "reward": reward, "seed": seed,
                 "target": TARGET, "duration": f"{steps} steps"}
            )  # fmt: skip
            for step in range(1, steps + 1):
                run.metrics(step_metrics(draw, step / steps), step)
            good = 0.04 * REWARDS.index(reward) / 6 + draw.gauss(0, 0.01)
            far = 25 * (strategy == "staged" and reward not in ("length", "meteor_rouge"))
            rows, verdicts = summaries(draw, posts, ease, good, TARGET + far)
            run.table("summaries_after", rows)
            run.table("verdicts_test", verdicts)
            run.table("summaries_before", summaries(draw, posts, ease, -0.1, 80)[0])
        JobResult("FINISHED", (), reward, strategy, "tiny", seed).write(folder)
    return len(chosen)


def step_metrics(draw: random.Random, done: float) -> dict[str, float]:
    noise = draw.gauss(0, 0.05)
    return {
        "reward/mean": -0.8 + 0.9 * done + noise,
        "reward/std_within_group": 0.3 - 0.2 * done + noise / 3,
        "length/mean": 100 - 35 * done + 40 * noise,
        "update/gradient_norm": 0.5 + abs(noise),
        "loss/kl_reference": 0.05 * done + abs(noise) / 10,
        "loss/ratio_mean": 1 + noise / 50,
        "loss/clip_share": abs(noise) / 10,
        **{key: draw.random() for key in OTHERS},
    }


def summaries(
    draw: random.Random, posts: list[str], ease: list[float], good: float, tokens: int
) -> tuple[list[dict[str, object]], list[Mapping[str, object]]]:
    """Rows of a table of judged summaries, and their verdicts."""
    rows: list[dict[str, object]] = []
    verdicts: list[Mapping[str, object]] = []
    for place, (post, easy) in enumerate(zip(posts, ease, strict=True)):
        id, length = f"drawn-{place:04d}", max(5, round(draw.gauss(tokens, 9)))
        judged = {}
        for metric in METRICS:
            lean = (0.002 if metric == "coverage" else -0.002) * (length - TARGET)
            scores = [
                min(1.0, max(0.0, 0.6 + good + easy + lean + draw.gauss(0, 0.12)))
                for _ in range(ROUNDS)
            ]
            judged[f"judge/{metric}"] = sum(scores) / ROUNDS
            verdicts += [
                {"id": id, "metric": metric, "round": turn, "score": score, "judge": "drawn",
                 "reason": "drawn, not judged", "cached": False}
                for turn, score in enumerate(scores)
            ]  # fmt: skip
        overlap = {name: draw.random() for name in ("rouge_l", "meteor", "bleu")}
        rows.append(
            {"when": "after", "id": id, "domain": "drawn", "summary": text(draw, length),
             "reference": text(draw, 25), "length": length, "stopped": True, **overlap, **judged,
             "post": post}
        )  # fmt: skip
    return rows, verdicts


def text(draw: random.Random, words: int) -> str:
    return " ".join(draw.choices(WORDS, k=words))


def measure(folder: Path, quick: bool) -> dict[str, object]:
    examples, steps, most = (20, 100, 4) if quick else (200, 1000, 42)
    runs = write_runs(folder / "multirun" / "many", examples, steps, most)
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, str(SCRIPT), "sweep=many", "tracking=none"],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - began
    page = folder / "multirun" / "many" / "report" / "report.html"
    return {
        "runs": runs,
        "examples": examples,
        "steps": steps,
        "seconds": round(seconds, 2),
        "goal_seconds": 20,
        "page_megabytes": round(page.stat().st_size / 1e6, 2),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    if asked.keep is not None:
        print(json.dumps(measure(asked.keep.absolute(), asked.quick), indent=1))
    else:
        with tempfile.TemporaryDirectory() as place:
            print(json.dumps(measure(Path(place), asked.quick), indent=1))
