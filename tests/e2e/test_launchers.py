"""Sweeps whose jobs run in processes of their own: real training under joblib and submitit."""

import json
import re
import shlex
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import yaml
from commands import ROOT, command, mlflow_runs
from started_runs import started, wait_for_steps

from tersely.sweep.result import read_results

train = partial(command, "train.py")
SMALL = ("rollout.group_size=2", "rollout.max_tokens=72", "trainer.prompts_per_step=1",
         "data.train=8", "data.validation=2", "data.test=2")  # fmt: skip
NAMED = ("-m", "hydra.sweep.dir=multirun/night")
TWO_AT_ONCE = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
STAGED = ("reward=rouge,meteor", "strategy=staged", "trainer.learning_rate=1e-4,-1",
          "trainer.steps=1")  # fmt: skip
"""Four jobs: two that share a length stage, and two that are refused."""


@dataclass(frozen=True)
class Swept:
    """A sweep that has ended."""

    folder: Path
    said: str

    @property
    def night(self) -> Path:
        return self.folder / "multirun" / "night"

    def report(self) -> str:
        """What it says of its jobs."""
        return (self.night / "report.md").read_text().partition("## In MLflow")[0]

    def files(self) -> dict[str, bytes]:
        return {
            str(file.relative_to(self.night)): file.read_bytes()
            for file in self.night.rglob("*")
            if file.is_file()
        }

    def weights(self) -> dict[str, bytes]:
        files = self.files()
        return {name: files[name] for name in files if name.endswith("final/model.safetensors")}


@pytest.fixture(scope="module", autouse=True)
def one_thread_a_product() -> Iterator[None]:
    """How many there are decides the last digits, and beside each other jobs have fewer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENBLAS_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """Two jobs at a time."""
    folder = tmp_path_factory.mktemp("beside")
    return Swept(folder, train(folder, *NAMED, *SMALL, *STAGED, *TWO_AT_ONCE, code=1))


@pytest.fixture(scope="module")
def in_turn(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """The same, one job after the other."""
    folder = tmp_path_factory.mktemp("in_turn")
    return Swept(folder, train(folder, *NAMED, *SMALL, *STAGED, code=1))


def test_jobs_beside_each_other_leave_what_they_leave_in_turn(
    beside: Swept, in_turn: Swept
) -> None:
    """The same report, the same files, the same weights bit for bit."""
    assert in_turn.report() == beside.report()
    assert in_turn.files().keys() == beside.files().keys()
    assert 2 == len(in_turn.weights())
    assert in_turn.weights() == beside.weights()


def test_jobs_that_fail_are_in_the_report_with_those_that_do_not(beside: Swept) -> None:
    """Exit code 1, which the fixture asks for."""
    assert "4 jobs, 2 failed." in beside.said
    assert "Traceback" not in beside.said
    assert 2 == beside.report().count("trainer.learning_rate=-1")
    statuses = [each.status for each in read_results(beside.night)]
    assert ["FAILED", "FAILED", "FINISHED", "FINISHED"] == sorted(statuses)


def test_they_share_the_length_stage_and_the_store(beside: Swept) -> None:
    """One of them has trained the stage; both are in MLflow."""
    runs = mlflow_runs(beside.folder)
    assert ["FINISHED", "FINISHED"] == [run.info.status for run in runs]
    assert {"meteor", "rouge"} == {run.data.params["reward"] for run in runs}
    trained = sorted(run.data.tags["shared_stage_trained_here"] for run in runs)
    assert ["false", "true"] == trained
    (stage,) = {run.data.tags["shared_stage"] for run in runs}
    stages = beside.folder / "mlruns" / "stages"
    assert [stage] == [file.name for file in stages.iterdir() if file.is_dir()]


def test_each_line_on_the_terminal_says_whose_it_is(beside: Swept) -> None:
    """By the number that the launcher has listed the job with; the job's own log has no need."""
    number = re.search(r"#(\d) : .*reward=meteor .*learning_rate=(?!-1)", beside.said)
    assert number
    assert f"#{number[1]} stage quality: meteor" in beside.said
    logs = [log.read_text() for log in beside.night.glob("*reward=meteor*/train.log")]
    (own,) = [log for log in logs if "stage quality: meteor" in log]
    assert f"#{number[1]} " not in own


def test_given_again_it_does_what_has_not_finished(beside: Swept) -> None:
    """The results of the two that have FINISHED stay as they are."""
    before = beside.weights()
    said = train(beside.folder, *NAMED, *SMALL, *STAGED, *TWO_AT_ONCE, code=1)
    assert 2 == said.count("this has FINISHED before")
    assert "stage" not in said.partition("Sweep night")[0]
    assert before == beside.weights()
    assert 2 == len(mlflow_runs(beside.folder))


def test_stopped_it_goes_on_from_the_checkpoints_of_all_jobs(tmp_path: Path) -> None:
    """The signal comes to the process of the sweep alone; the command is the one it prints."""
    asked = (*SMALL, "tracking=none", "trainer.steps=5", "seed=0,1")
    slots = "hydra.sweep.subdir=seed_${seed}"
    process = started(tmp_path, *NAMED, slots, *asked, *TWO_AT_ONCE)
    jobs = [tmp_path / "multirun" / "night" / f"seed_{seed}" for seed in (0, 1)]
    for job in jobs:
        wait_for_steps(process, job, 1)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=200)
    assert 143 == process.returncode, said
    for job in jobs:
        assert "KILLED" == json.loads((job / "result.json").read_text())["status"]
        assert (job / "checkpoints" / "latest" / "model.safetensors").exists()

    (line,) = [each.strip() for each in said.splitlines() if each.startswith("  python ")]
    again = train(tmp_path, *shlex.split(line)[2:])
    assert "2 jobs, all finished." in again
    assert 2 == again.count("going on with the run in ")


def test_submitit_starts_every_job_as_a_process(tmp_path: Path) -> None:
    """Which is what it does on a cluster, by another executor."""
    local = ("hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5")
    asked = (*SMALL, "tracking=none", "trainer.steps=1", "seed=0,1")
    assert "2 jobs, all finished." in train(tmp_path, *NAMED, *asked, *local)
    pickled = (tmp_path / "multirun" / "night" / ".submitit").rglob("*_submitted.pkl")
    assert 2 == len(list(pickled))


def test_the_documented_slurm_sweep_composes(tmp_path: Path) -> None:
    """Its launcher gets what docs/launchers.md gives it; there is no Slurm here to start it."""
    page = (ROOT / "docs" / "launchers.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", page, re.S)
    (words,) = [shlex.split(each.replace("\\\n", " ")) for each in blocks if "slurm" in each]
    single = [word for word in words[2:] if word != "-m" and "," not in word]
    launcher = yaml.safe_load(train(tmp_path, *single, "--cfg", "hydra"))["hydra"]["launcher"]
    given = [word.removeprefix("hydra.launcher.").split("=") for word in single]
    given = [(key, value) for key, value in given if key in launcher]
    assert 6 == len(given)
    assert given == [(key, str(launcher[key])) for key, _ in given]
    assert launcher["_target_"].endswith(".SlurmLauncher")
