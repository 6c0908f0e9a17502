"""Evaluations, and runs that only want a judge, whose command is given again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT, command, mlflow_runs
from fake_endpoint import FakeEndpoint, error, panel

from tersely.tracking.folder_run import read_metrics

SMALL_DATA = ("data.train=4", "data.validation=1", "data.test=3")
SCORES = {"faithfulness": 9, "coverage": 9, "conciseness": 9, "clarity": 0}


def points(folder: Path) -> list[tuple[int, str]]:
    """Step and name of every point of the only run in the store."""
    from mlflow import MlflowClient

    (run,) = mlflow_runs(folder)
    client = MlflowClient(f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}")
    return [
        (point.step, key)
        for key in run.data.metrics
        for point in client.get_metric_history(run.info.run_id, key)
    ]


def test_an_evaluation_that_did_not_finish_goes_on_as_one_run(tmp_path: Path) -> None:
    """Here only its last word is missing. Then it has FINISHED and is not done again."""
    asked = ("model=tiny", "hydra.run.dir=out", *SMALL_DATA)
    command("evaluate.py", tmp_path, *asked)
    (first,) = mlflow_runs(tmp_path)
    before = (tmp_path / "out" / "metrics.jsonl").read_bytes()
    (tmp_path / "out" / "result.json").unlink()
    assert "going on with the run in" in command("evaluate.py", tmp_path, *asked)

    (again,) = mlflow_runs(tmp_path)
    assert (first.info.run_id, "FINISHED") == (again.info.run_id, again.info.status)
    assert len(points(tmp_path)) == len(set(points(tmp_path)))
    assert before == (tmp_path / "out" / "metrics.jsonl").read_bytes()
    assert first.data.tags["mlflow.loggedArtifacts"] == again.data.tags["mlflow.loggedArtifacts"]

    said = command("evaluate.py", tmp_path, *asked)
    assert "this has FINISHED before" in said
    assert "pass rate" in said
    said = command("evaluate.py", tmp_path, *asked, "split=validation", code=2)
    assert "split is test there and validation here" in " ".join(said.split())


@pytest.mark.parametrize("budget", ["null", "2"])
def test_a_run_without_its_verdicts_is_only_judged(tmp_path: Path, budget: str) -> None:
    """The judge refuses its key, or may ask twice for three summaries; the same command later,
    with budget enough, trains nothing and judges what is missing."""
    refused = budget == "null"
    asked = ("judge=panel", "judge.model=judge", "judge.api_key_env=JUDGE_KEY", "judge.rounds=1",
             "tracking=none", "hydra.run.dir=out", "trainer.steps=1", "rollout.group_size=2",
             "rollout.max_tokens=72", *SMALL_DATA)  # fmt: skip
    mended = False

    def answer(body: object, number: int) -> object:
        return error(401, "wrong key") if refused and not mended else panel(SCORES)

    def run(*more: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, str(ROOT / "train.py"), *asked,
             f"judge.base_url={endpoint.base_url}", *more],
            cwd=tmp_path,
            env={**os.environ, "JUDGE_KEY": "sk"},
            capture_output=True,
            text=True,
            timeout=280,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    with FakeEndpoint(answer) as endpoint:
        code, said = run(f"judge.max_calls={budget}")
        assert (2 if refused else 0) == code, said
        trained = (tmp_path / "out" / "checkpoints" / "final" / "model.safetensors").stat()
        mended = True
        asked_before = len(endpoint.requests)
        code, said = run("judge.max_calls=null")
        assert 0 == code, said
        assert (3 if refused else 1) == len(endpoint.requests) - asked_before
    final = tmp_path / "out" / "checkpoints" / "final" / "model.safetensors"
    assert trained.st_mtime_ns == final.stat().st_mtime_ns
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert "FINISHED" == result["status"]
    assert 3.0 == result["metrics"]["test/after/judge/composite_sum"]  # 1 + 1 + 1 + 0
    assert 0.0 == result["metrics"]["test/after/judge/missing"]
    steps = [line["step"] for line in read_metrics(tmp_path / "out") if "reward/mean" in line]
    assert [1] == steps
