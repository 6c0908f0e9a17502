"""`python train.py --dry-run`, as a person types it: it measures real steps and leaves nothing."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from commands import ROOT, command, mlflow_runs

train = partial(command, "train.py")
SMALL = ("rollout.group_size=2", "rollout.max_tokens=72", "trainer.prompts_per_step=1",
         "trainer.steps=6", "data.train=8", "data.validation=2", "data.test=2")  # fmt: skip
NAMED = ("-m", "hydra.sweep.dir=multirun/night")


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where commands put what is temporary, apart from where they are typed."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Where commands are typed."""
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


def content(folder: Path) -> dict[str, str]:
    """Every file with a digest of what is in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def squeezed(said: str) -> str:
    return " ".join(said.split())


def test_a_plan_of_eight_jobs(here: Path, temporary: Path) -> None:
    """Two length stages are shared, one a seed; nothing is left behind."""
    axes = ("reward=rouge,meteor", "strategy=joint,staged", "seed=0,1")
    said = train(here, "--dry-run", "-m", *axes, *SMALL)
    plan = squeezed(said)
    assert "Dry run: 8 jobs" in plan
    assert "S1 length of seed 0, for jobs 2, 6: trained once, by job 2" in plan
    assert "S2 length of seed 1, for jobs 3, 7: trained once, by job 3" in plan
    # 4 joint stages, 4 of quality and 2 of length, of 6 steps; 2 summaries before and after.
    assert "for 60 steps and 32 summaries" in plan
    assert "by 3 of them after a first one" in plan
    assert "step 4 of 4 took" in plan
    for unit in ("sampled", "learned from", "in MLX", "of checkpoints"):
        assert unit in plan
    assert [] == list(here.iterdir())
    assert [] == list(temporary.glob("tersely*"))  # MLX keeps compiled kernels there


def test_what_is_refused_is_all_named(here: Path) -> None:
    """And nothing is measured where nothing is left. Exit code 2."""
    axes = ("trainer.steps=0,1", "strategy=staged,joint", "reward=length", "judge.threshold=2,3")
    said = squeezed(train(here, "--dry-run", "-m", *axes, code=2))
    assert "8 jobs, 8 of them refused" in said
    assert said.count("trainer.steps must be at least 1, got 0") == 1
    assert said.count("judge.threshold must lie in 0 to 1") == 2  # of 2 and of 3
    assert "Traceback" not in said and "measuring" not in said


def test_a_sweep_given_again_is_what_is_left_of_it(here: Path) -> None:
    """One job has FINISHED and has left its length stage; the plan says so and touches nothing.
    Then the very plan is run: its jobs are those that were planned."""
    train(here, *NAMED, *SMALL, "strategy=staged", "reward=rouge")
    before = content(here)
    asked = (*NAMED, *SMALL, "strategy=staged,joint", "reward=rouge")
    said = squeezed(train(here, "--dry-run=1", *asked))
    assert before == content(here)
    assert "2 jobs, 1 of them FINISHED before" in said
    assert "by 1 of them after a first one" in said
    assert "for 6 steps and 4 summaries" in said

    again = ("--dry-run=1", *NAMED, *SMALL, "strategy=staged", "reward=rouge,bleu")
    said = squeezed(train(here, *again))
    (stage,) = (path for path in (here / "mlruns" / "stages").iterdir() if path.is_dir())
    assert f"for jobs 0-1: there already, mlruns/stages/{stage.name}" in said
    assert "for 6 steps and 4 summaries" in said
    assert before == content(here)

    said = squeezed(train(here, "--dry-run", *NAMED, *SMALL, "strategy=staged", "reward=rouge"))
    assert "Nothing is left to do." in said
    assert before == content(here)
    assert 1 == len(mlflow_runs(here))


def test_a_model_that_is_not_there(here: Path, tmp_path: Path) -> None:
    """Jobs and shared stages are printed; what could not be measured is one paragraph."""
    asked = ("model=local", f"model.path={tmp_path / 'nowhere'}", "strategy=staged", "seed=0,1")
    said = squeezed(train(here, "--dry-run", "-m", *asked, *SMALL, code=2))
    assert "0 A length S1: 6 + quality: 6 ? seed=0" in said
    assert "S2 length of seed 1, for job 1: trained once, by job 1 (unless" in said
    assert "Kind A could not be measured: model.path=" in said
    assert "Traceback" not in said
    assert [] == list(here.iterdir())


def test_it_plans_training_and_nothing_else(here: Path) -> None:
    said = squeezed(command("evaluate.py", here, "--dry-run", "model=tiny", code=2))
    assert "--dry-run plans training runs" in said
    said = squeezed(train(here, "--dry-run=many", code=2))
    assert "must say how many steps are measured" in said
    assert "--dry-run" in train(here, "--help")


def test_an_interrupt_ends_what_measures_too(here: Path, temporary: Path) -> None:
    """Whose folder is removed, and which is gone, with nothing said of checkpoints. Ctrl-C on a
    terminal reaches both."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), "--dry-run=1000", "trainer.steps=1000"],
        cwd=here,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if "TERSELY" not in name},
        start_new_session=True,
    )
    assert process.stderr is not None
    line = ""
    while "step 1 of" not in line:
        line = process.stderr.readline()
        assert process.poll() is None, line
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    measuring = children.read_text().split() if children.exists() else []
    os.killpg(process.pid, signal.SIGINT)
    said = "".join(process.communicate(timeout=120))
    assert 130 == process.returncode, said
    assert "Traceback" not in said and "SIGTERM" not in said
    assert [] == list(here.iterdir())
    assert [] == list(temporary.glob("tersely*"))  # MLX keeps compiled kernels there
    for number in measuring:
        wait_until_gone(int(number))


def wait_until_gone(number: int) -> None:
    """What the command has waited for already, at most a moment later."""
    for _ in range(100):
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail(f"process {number} goes on")
