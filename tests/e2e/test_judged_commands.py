"""train.py and evaluate.py with a judge behind an endpoint: real commands, real HTTP."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from fake_endpoint import FakeEndpoint, error, panel

from tersely.tracking.folder_run import read_metrics

ROOT = Path(__file__).parents[2]
SMALL_DATA = ("data.train=4", "data.validation=1", "data.test=3")
KEY = "sk-3b1f-never-to-be-seen"
SCORES = {"faithfulness": 9, "coverage": 9, "conciseness": 9, "clarity": 0}


def command(script: str, folder: Path, endpoint: FakeEndpoint, *more: str) -> subprocess.Popen[str]:
    """A script in `folder`, judged by the panel in four rounds."""
    environment = {name: value for name, value in os.environ.items() if "TERSELY" not in name}
    return subprocess.Popen(
        [sys.executable, str(ROOT / script), "tracking=none", "judge=panel", "judge.model=judge",
         f"judge.base_url={endpoint.base_url}", "judge.api_key_env=JUDGE_KEY", "judge.rounds=4",
         "judge.max_concurrent=1", "hydra.run.dir=out", *SMALL_DATA, *more],
        cwd=folder,
        env={**environment, "JUDGE_KEY": KEY},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip


def said(process: subprocess.Popen[str], code: int) -> str:
    """What the command said in all, on one line; it must end with `code`."""
    text, _ = process.communicate(timeout=120)
    assert code == process.returncode, text
    return " ".join(text.split())


def test_a_killed_evaluation_loses_no_verdict(tmp_path: Path) -> None:
    """3 summaries in 4 rounds are 12 requests. Killed without a warning after at least 5 of them
    and started again, they are 12 in all, but for the one that was under way."""
    with FakeEndpoint(lambda body, number: panel(SCORES, delay=0.1)) as endpoint:
        first = command("evaluate.py", tmp_path, endpoint, "model=tiny")
        while len(endpoint.requests) < 6 and first.poll() is None:
            time.sleep(0.01)
        first.send_signal(signal.SIGKILL)
        said(first, -signal.SIGKILL)
        assert 6 <= len(endpoint.requests) < 12
        text = said(command("evaluate.py", tmp_path, endpoint, "model=tiny"), 0)
        assert 12 <= len(endpoint.requests) <= 13

    assert "pass rate 0.000" in text  # clarity is 0
    verdicts = (tmp_path / "out/tables/eval/test/plain/verdicts.jsonl").read_text().splitlines()
    assert 3 * 4 * 4 == len(verdicts)
    assert 4 * 5 <= sum(json.loads(line)["cached"] for line in verdicts)
    assert f"Bearer {KEY}" == endpoint.headers[0]["Authorization"]
    left = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert left
    assert [] == [file for file in left if KEY.encode() in file.read_bytes()]


def test_a_judge_that_cannot_be_asked_costs_no_training(tmp_path: Path) -> None:
    """The run has failed and says so; its checkpoint, its scores and its summaries are kept, and
    it is judged later. No failure has become a score."""
    steps = ("trainer.steps=1", "rollout.group_size=2", "rollout.max_tokens=72")
    with FakeEndpoint(lambda body, number: error(401, f"wrong key {KEY}")) as endpoint:
        text = said(command("train.py", tmp_path, endpoint, *steps), 2)
    assert "Training is complete" in text
    assert KEY not in text
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert "FAILED" == result["status"]
    assert "test/after/rouge_l" in result["metrics"]
    assert not [key for line in read_metrics(tmp_path / "out") for key in line if "judge" in key]

    with FakeEndpoint(lambda body, number: panel(SCORES)) as endpoint:
        again = ("run=out", "hydra.run.dir=again")
        said(command("evaluate.py", tmp_path, endpoint, *again), 0)
    found = read_metrics(tmp_path / "out")[-1]
    assert 3.0 == found["eval/test/plain/judge/composite_sum"]  # 1 + 1 + 1 + 0
    assert 0.75 == found["eval/test/plain/judge/composite_mean"]
