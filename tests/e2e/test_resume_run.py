"""A run whose command is given again with the same folder."""

import fcntl
import json
import shutil
import signal
from functools import partial
from pathlib import Path

import pytest
from commands import command, mlflow_runs
from started_runs import started, wait_for_steps

from tersely.tracking.folder_run import read_metrics

train = partial(command, "train.py")
SMALL = ("rollout.group_size=2", "rollout.max_tokens=72", "trainer.prompts_per_step=1",
         "data.train=8", "data.validation=2", "data.test=2", "hydra.run.dir=run")  # fmt: skip


def points(folder: Path) -> list[tuple[int, str, float]]:
    """Every point of the only run in the store, in the order of steps and names."""
    from mlflow import MlflowClient

    (run,) = mlflow_runs(folder)
    client = MlflowClient(f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}")
    return sorted(
        (point.step, key, point.value)
        for key in run.data.metrics
        for point in client.get_metric_history(run.info.run_id, key)
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a run of two steps was started, whose folder is `run`."""
    start = tmp_path_factory.mktemp("start")
    train(start, *SMALL, "trainer.steps=2")
    return start


def test_a_killed_run_goes_on_as_one_run(tmp_path: Path) -> None:
    """SIGKILL leaves RUNNING in the store. The same command ends with one run that is FINISHED,
    in which no metric has two points at a step, and the same in its file."""
    asked = (*SMALL, "trainer.steps=4")
    process = started(tmp_path, *asked)
    wait_for_steps(process, tmp_path / "run", 2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (killed,) = mlflow_runs(tmp_path)
    assert "RUNNING" == killed.info.status
    before = read_metrics(tmp_path / "run")

    said = train(tmp_path, *asked)

    assert "going on with the run in" in said
    (run,) = mlflow_runs(tmp_path)
    assert (killed.info.run_id, "FINISHED") == (run.info.run_id, run.info.status)
    assert "error" not in run.data.tags
    stored = points(tmp_path)
    assert len(stored) == len({(step, key) for step, key, _ in stored})
    assert [1, 2, 3, 4] == [step for step, key, _ in stored if key == "reward/mean"]
    lines = read_metrics(tmp_path / "run")
    assert before == lines[: len(before)]
    written = [(line["step"], key) for line in lines for key in line if "/" in key]
    assert len(written) == len(set(written)) == len(stored)
    assert "FINISHED" == json.loads((tmp_path / "run" / "result.json").read_text())["status"]


def test_a_finished_run_is_not_done_again(finished: Path) -> None:
    """It says so, shows the results and leaves every file as it was."""
    left = {
        path: path.read_bytes()
        for path in (finished / "run").rglob("*")
        if path.is_file() and path.suffix != ".log" and ".hydra" not in path.parts
    }
    said = train(finished, *SMALL, "trainer.steps=2", "tracking.experiment=another")
    assert "this has FINISHED before" in said
    assert "fact coverage" in said
    assert "step 1 of 2" not in said
    assert left == {path: path.read_bytes() for path in left}
    (run,) = mlflow_runs(finished)
    assert "FINISHED" == run.info.status


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("trainer.steps=3", "trainer.steps is 2 there and 3 here"),
        ("strategy=staged", "strategy is joint there and staged here"),
    ],
)
def test_another_configuration_is_refused(finished: Path, change: str, words: str) -> None:
    """Nothing of the run that is there is touched, its result least of all. Two strategies have
    the same keys and values: none."""
    before = (finished / "run" / "result.json").read_bytes()
    said = " ".join(train(finished, *SMALL, "trainer.steps=2", change, code=2).split())
    assert words in said
    assert "set hydra.run.dir=FOLDER" in said
    assert "Traceback" not in said
    assert before == (finished / "run" / "result.json").read_bytes()
    assert "steps: 2" in (finished / "run" / "config.yaml").read_text()
    assert 1 == len(mlflow_runs(finished))


def test_another_model_at_the_same_path_is_refused(finished: Path, tmp_path: Path) -> None:
    """model.path is a link, which moves to weights with another sign in their last number."""
    trained, link = finished / "run" / "checkpoints" / "final", tmp_path / "latest"
    shutil.copytree(trained, tmp_path / "other")
    weights = tmp_path / "other" / "model.safetensors"
    numbers = bytearray(weights.read_bytes())
    numbers[-1] ^= 0x80
    weights.write_bytes(numbers)
    asked = (*SMALL, "model=local", f"model.path={link}", "tracking=none", "trainer.steps=1")
    link.symlink_to(trained)
    train(tmp_path, *asked)
    (tmp_path / "run" / "result.json").unlink()
    link.unlink()
    link.symlink_to(tmp_path / "other")
    said = " ".join(train(tmp_path, *asked, code=2).split())
    assert "Error: the model's checkpoint has the fingerprint" in said


def test_a_folder_in_which_nothing_was_measured_takes_another_configuration(
    tmp_path: Path,
) -> None:
    """A mistake that is mended at the second attempt."""
    asked = (*SMALL, "tracking=none", "trainer.steps=1")
    train(tmp_path, *asked, "length.target=80", code=2)
    train(tmp_path, *asked)


def test_two_processes_do_not_work_in_one_folder(tmp_path: Path) -> None:
    """The second says so at once, and touches nothing."""
    (tmp_path / "run").mkdir()
    with (tmp_path / "run" / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = train(tmp_path, *SMALL, "tracking=none", code=2)
    assert "another process works in" in said
    assert {"run.lock", ".hydra"} == {path.name for path in (tmp_path / "run").iterdir()}


@pytest.mark.parametrize(
    ("number", "code", "name"), [(signal.SIGINT, 130, "SIGINT"), (signal.SIGTERM, 143, "SIGTERM")]
)
def test_an_interrupted_run_says_how_it_goes_on(
    tmp_path: Path, number: int, code: int, name: str
) -> None:
    """By its signal's exit code, and with a command that is given to a shell as it stands."""
    asked = (*SMALL, "trainer.steps=400", "tracking=none")
    process = started(tmp_path, *asked, "seed=3")
    wait_for_steps(process, tmp_path / "run", 1)
    process.send_signal(number)
    said, _ = process.communicate(timeout=200)
    assert code == process.returncode, said
    assert "Traceback" not in said
    assert f"Interrupted by {name}." in said
    (line,) = [each.strip() for each in said.splitlines() if each.startswith("  python ")]
    assert line.endswith("tracking=none seed=3 hydra.run.dir=run")
    assert "KILLED" == json.loads((tmp_path / "run" / "result.json").read_text())["status"]
    assert "KILLED" == json.loads((tmp_path / "run" / "tags.json").read_text())["status"]


def test_a_folder_that_cannot_be_made_is_a_paragraph(tmp_path: Path) -> None:
    """Hydra makes it before anybody else is asked."""
    (tmp_path / "file").write_text("in the way")
    said = train(tmp_path, "tracking=none", "hydra.run.dir=file/run", code=2)
    assert "Traceback" not in said
    assert "hydra.run.dir=FOLDER" in said


def test_checkpoints_of_nobody_knows_what_are_refused(tmp_path: Path) -> None:
    """A run would go on from them."""
    (tmp_path / "run" / "checkpoints" / "step_000001").mkdir(parents=True)
    said = train(tmp_path, *SMALL, "tracking=none", code=2)
    assert "but no config.yaml" in " ".join(said.split())
