"""A sweep whose command is given again under the same name."""

import json
import shlex
import signal
import subprocess
from functools import partial
from pathlib import Path

from commands import ROOT, command, mlflow_runs
from started_runs import started, wait_for_steps

from tersely.sweep.result import read_results

train = partial(command, "train.py")
SMALL = ("rollout.group_size=2", "rollout.max_tokens=72", "trainer.prompts_per_step=1",
         "data.train=8", "data.validation=2", "data.test=2")  # fmt: skip
NAMED = ("-m", "hydra.sweep.dir=multirun/night", "hydra.sweep.subdir=seed_${seed}")


def statuses(folder: Path) -> list[str]:
    return [result.status for result in read_results(folder / "multirun" / "night")]


def test_an_interrupted_sweep_does_what_is_left(tmp_path: Path) -> None:
    """Ctrl-C in the second job: the report is made, and the command that it prints, as a shell
    takes it, leaves the first job alone and goes on with the second one's run."""
    process = started(tmp_path, *NAMED, *SMALL, "trainer.steps=6", "seed=0,1")
    wait_for_steps(process, tmp_path / "multirun" / "night" / "seed_1", 1)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=200)
    assert 130 == process.returncode, said
    assert "Traceback" not in said
    assert "2 jobs, 1 failed." in said
    assert ["FINISHED", "KILLED"] == statuses(tmp_path)
    first = (tmp_path / "multirun" / "night" / "seed_0" / "result.json").read_bytes()
    ids = {run.info.run_id for run in mlflow_runs(tmp_path)}

    (line,) = [each.strip() for each in said.splitlines() if each.startswith("  python ")]
    python, script, *arguments = shlex.split(line)
    assert ("python", ROOT / "train.py") == (python, Path(script))
    again = train(tmp_path, *arguments)
    assert 1 == again.count("this has FINISHED before")
    assert ["FINISHED", "FINISHED"] == statuses(tmp_path)
    assert first == (tmp_path / "multirun" / "night" / "seed_0" / "result.json").read_bytes()
    runs = mlflow_runs(tmp_path)
    assert ids == {run.info.run_id for run in runs}
    assert ["FINISHED", "FINISHED"] == [run.info.status for run in runs]


def test_a_killed_job_is_marked_when_its_sweep_begins_again(tmp_path: Path) -> None:
    """In the store, in its folder and in the report, also where this time other jobs are run."""
    process = started(tmp_path, *NAMED, *SMALL, "trainer.steps=400", "seed=0,1")
    job = tmp_path / "multirun" / "night" / "seed_0"
    wait_for_steps(process, job, 1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert ["RUNNING"] == [run.info.status for run in mlflow_runs(tmp_path)]

    said = train(tmp_path, *NAMED, *SMALL, "trainer.steps=1", "seed=1", code=1)
    assert "marked KILLED" in said
    assert "it was killed before it could say why" in said
    found = {run.data.params["seed"]: run.info.status for run in mlflow_runs(tmp_path)}
    assert {"0": "KILLED", "1": "FINISHED"} == found
    assert "KILLED" == json.loads((job / "tags.json").read_text())["status"]
    assert ["KILLED", "FINISHED"] == statuses(tmp_path)


def test_two_sweeps_of_one_name_run_each_job_once(tmp_path: Path) -> None:
    """Both end well, with a report of both jobs."""
    asked = (*NAMED, *SMALL, "tracking=none", "trainer.steps=2", "seed=0,1")
    both: list[subprocess.Popen[str]] = [started(tmp_path, *asked) for _ in range(2)]
    for process in both:
        said, _ = process.communicate(timeout=280)
        assert 0 == process.returncode, said
        assert "2 jobs, all finished." in said
    for seed in (0, 1):
        log = (tmp_path / "multirun" / "night" / f"seed_{seed}" / "train.log").read_text()
        assert 1 == log.count("stage joint: ")
        assert 1 == log.count("this has FINISHED before")


def test_a_job_of_another_configuration_fails_alone_and_spoils_nothing(tmp_path: Path) -> None:
    """What the earlier job has left stays, and the report names the difference. With the first
    configuration again all is well."""
    asked = (*NAMED, *SMALL, "tracking=none", "seed=0")
    train(tmp_path, *asked, "trainer.steps=1")
    result = tmp_path / "multirun" / "night" / "seed_0" / "result.json"
    before = result.read_bytes()
    said = train(tmp_path, *asked, "trainer.steps=2", code=1)
    assert "1 jobs, 1 failed." in said
    assert "trainer.steps is 1 there and 2 here" in said
    assert before == result.read_bytes()
    assert "1 jobs, all finished." in train(tmp_path, *asked, "trainer.steps=1")
