"""Runs whose process is killed, again and again, end as if nobody had touched them."""

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT, command, mlflow_runs

KILLED = ROOT / "tests" / "killed.py"
SMALL = (
    "data.train=40",
    "data.validation=8",
    "data.test=6",
    "rollout.max_tokens=40",
    "length.target=20",
    "rollout.group_size=4",
    "trainer.prompts_per_step=2",
)
TRAINING = (
    *SMALL,
    "strategy=staged",
    "trainer.steps=5",
    "trainer.save_every=2",
    "trainer.evaluate_every=2",
    "hydra.run.dir=multirun/it",
)
NOT_REPEATED = ("time/", "speed/", "memory/", "milliseconds", "test/after/judge/seconds")


def killed(
    folder: Path, moment: int, script: str, *arguments: str, delay: float = 0, part: str = ""
) -> bool:
    """Run it until its moment; whether it was killed then, and did not end before."""
    done = subprocess.run(
        [sys.executable, KILLED, str(moment), str(delay), part, str(ROOT / script), *arguments],
        cwd=folder,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stdout + done.stderr
    return done.returncode != 0


def moments_of(folder: Path, script: str, *arguments: str) -> int:
    """How many moments an uninterrupted run has; `folder` has its results then."""
    folder.mkdir()
    assert not killed(folder, 0, script, *arguments)
    return int((folder / "moments.txt").read_text())


def metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics, without what is measured by a clock."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.startswith(NOT_REPEATED)} for line in lines]


def tables(run: Path) -> dict[str, str]:
    folder = run / "tables"
    return {str(f.relative_to(folder)): f.read_text() for f in sorted(folder.rglob("*.jsonl"))}


def weights(run: Path) -> bytes | None:
    """None of an evaluation, which leaves none."""
    file = run / "checkpoints" / "final" / "model.safetensors"
    return file.read_bytes() if file.exists() else None


def curves(folder: Path, run_id: str) -> dict[str, list[tuple[int, float]]]:
    """Of MLflow: metric to its points."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}")
    names = client.get_run(run_id).data.metrics
    return {
        name: [(point.step, point.value) for point in client.get_metric_history(run_id, name)]
        for name in names
        if not name.startswith(NOT_REPEATED)
    }


def assert_same(whole: Path, resumed: Path, jobs: Sequence[str] = ("it",)) -> None:
    """Weights to the bit, metrics, summaries, and in MLflow one run a job with each point once."""
    for job in jobs:
        one, other = whole / "multirun" / job, resumed / "multirun" / job
        assert weights(one) == weights(other)
        assert metrics(one) == metrics(other)
        assert tables(one) == tables(other)
    expected, found = by_folder(whole), by_folder(resumed)
    assert {f"multirun/{job}" for job in jobs} == expected.keys() == found.keys()
    for folder, run_id in found.items():
        points = curves(resumed, run_id)
        assert curves(whole, expected[folder]) == points
        for name, history in points.items():
            assert 1 == max(Counter(step for step, _ in history).values()), name


def by_folder(folder: Path) -> dict[str, str]:
    """Of MLflow: a run's folder to its id. Every run has FINISHED, and no folder has two."""
    runs = mlflow_runs(folder)
    assert {"FINISHED"} == {run.info.status for run in runs}
    found = {
        str(Path(run.data.tags["folder"]).relative_to(folder)): run.info.run_id for run in runs
    }
    assert len(runs) == len(found)
    return found


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """The training run that the others are compared with, and how many moments it has."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return folder, moments_of(folder, "train.py", *TRAINING)


@pytest.mark.parametrize("chain", range(5))
def test_a_training_run_that_is_killed_ends_with_the_same_weights(
    chain: int, uninterrupted: tuple[Path, int], tmp_path: Path
) -> None:
    """Twenty moments in five chains of four: what was killed goes on and is killed again. The
    first of a chain is anywhere in the run; the later ones come earlier in what is left of it,
    which is never less than two fifths."""
    whole, moments = uninterrupted
    chance = random.Random(chain)
    for place in range(4):
        moment = chance.randint(1, moments - 40 if place == 0 else 2 * moments // 5)
        delay = chance.choice([0.0, chance.uniform(0, 0.2)])
        assert killed(tmp_path, moment, "train.py", *TRAINING, delay=delay)

    assert "going on with the run" in command("train.py", tmp_path, *TRAINING)

    assert_same(whole, tmp_path)


def test_a_training_run_that_is_killed_while_it_writes_a_checkpoint_goes_on(
    uninterrupted: tuple[Path, int], tmp_path: Path
) -> None:
    """Four times in a row. A checkpoint touches 27 files: twice within the first one, then within
    the second, and from the first on within the third."""
    kept = tmp_path / "multirun" / "it" / "checkpoints"
    for moment in (3, 15, 40, 35):
        assert killed(tmp_path, moment, "train.py", *TRAINING, part="/checkpoints/.step_")
        assert list(kept.glob(".step_*/config.json"))

    command("train.py", tmp_path, *TRAINING)

    assert_same(uninterrupted[0], tmp_path)
    assert [] == list(kept.glob(".*"))


def test_an_evaluation_that_is_killed_ends_with_the_same_scores(tmp_path: Path) -> None:
    """Three times in a row."""
    evaluation = (
        "model=tiny",
        "data.test=6",
        "decoding.max_tokens=40",
        "hydra.run.dir=multirun/it",
    )
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    moments = moments_of(whole, "evaluate.py", *evaluation)
    resumed.mkdir()

    for moment in (moments // 4, moments // 2, moments // 3):
        assert killed(resumed, moment, "evaluate.py", *evaluation)
    command("evaluate.py", resumed, *evaluation)

    assert_same(whole, resumed)


def test_a_sweep_of_six_that_is_killed_does_what_is_left(tmp_path: Path) -> None:
    """Four times in a row. What has FINISHED is not touched again, and the report is that of a
    sweep that nobody killed."""
    sweep = (
        "-m",
        "reward=rouge,meteor,bleu",
        "strategy=joint,staged",
        *SMALL,
        "trainer.steps=3",
        "trainer.save_every=2",
        "hydra.sweep.dir=multirun/sweep",
    )
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    moments = moments_of(whole, "train.py", *sweep)
    resumed.mkdir()
    finished: dict[Path, int] = {}

    chance = random.Random(13)
    for _ in range(4):
        assert killed(resumed, chance.randint(1, moments // 4), "train.py", *sweep, delay=0.05)
        for file in resumed.glob("multirun/sweep/*/result.json"):
            if json.loads(file.read_text())["status"] == "FINISHED":
                assert finished.setdefault(file, file.stat().st_mtime_ns) == file.stat().st_mtime_ns
    command("train.py", resumed, *sweep)

    assert finished
    for file, written in finished.items():
        assert written == file.stat().st_mtime_ns
    jobs = sorted(
        f"sweep/{path.parent.name}" for path in whole.glob("multirun/sweep/*/result.json")
    )
    assert 6 == len(jobs)
    assert_same(whole, resumed, jobs)
    one, other = ((folder / "multirun/sweep/report.md").read_text() for folder in (whole, resumed))
    assert one.partition("## In MLflow")[0] == other.partition("## In MLflow")[0]
