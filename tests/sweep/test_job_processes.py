"""Jobs beside each other under `hydra/launcher=joblib`, with real processes that train nothing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tersely.sweep.result import read_results

APP = """
import os
import time

import hydra

from tersely.called import called
from tersely.config import CONF, register, resolved_yaml
from tersely.earlier_attempt import take_folder
from tersely.job import recorded, say_that_it_is_done
from tersely.launch import current_job, guarded, mendable
from tersely.training.stopping import between_steps

WAITING = (4, 5)
register()


def main(tree):
    job = current_job(tree)
    with mendable(), recorded(job) as outcome:
        earlier = take_folder(job.folder, resolved_yaml(tree), job.choices)
        outcome.owns_folder = True
        if earlier.result is not None:
            return say_that_it_is_done(earlier.result, job, outcome)
        if job.seed == 3:
            raise ValueError("no luck")
        (job.folder / "process").write_text(str(os.getpid()))
        (job.folder / "began").write_text(called("report"))
        if job.seed in WAITING:
            together = [job.folder.parent / f"seed_{seed}" / "began" for seed in WAITING]
            while not all(file.exists() for file in together):
                time.sleep(0.05)
        while 5 < job.seed < 10:
            time.sleep(0.05)
        if job.seed >= 20:
            with between_steps() as stop:
                while not stop.requested:
                    time.sleep(0.05)
                time.sleep(1)  # the rest of the step
                (job.folder / "checkpoint").touch()
                stop.raise_stopped(None)


if __name__ == "__main__":
    guarded(hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(main))
"""
"""The job of seed 3 fails, those of 4 and 5 wait for each other, 6 to 9 run until they are stopped,
from 20 on they finish a step then and write a checkpoint, and all others end at once."""
NAMED = ("-m", "tracking=none", "hydra.sweep.dir=night", "hydra.sweep.subdir=seed_${seed}")
PARALLEL = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


STARTED: list["subprocess.Popen[str]"] = []


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Path]:
    """The folder of the app; what a failed test has left running there is ended."""
    (tmp_path / "app.py").write_text(APP)
    yield tmp_path
    while STARTED:
        with STARTED.pop() as process, suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def started(app: Path, *arguments: str, script: str = "app.py") -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, script, *NAMED, *arguments],
        cwd=app,
        env={name: value for name, value in os.environ.items() if "TERSELY" not in name},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    STARTED.append(process)
    return process


def done(app: Path, *arguments: str, code: int = 0) -> str:
    process = started(app, *arguments)
    said, _ = process.communicate(timeout=120)
    assert code == process.returncode, said
    return said


def wait_for(process: "subprocess.Popen[str]", app: Path, *seeds: int) -> None:
    files = [app / "night" / f"seed_{seed}" / "began" for seed in seeds]
    deadline = time.monotonic() + 120
    while not all(file.exists() for file in files):
        assert process.poll() is None, process.communicate()[0]
        if time.monotonic() > deadline:
            os.killpg(process.pid, signal.SIGKILL)
            pytest.fail(f"no job has begun of seeds {seeds}: {process.communicate()[0]}")
        time.sleep(0.05)


def statuses(app: Path) -> list[str]:
    return [result.status for result in read_results(app / "night")]


def job_process_of(app: Path, seed: int) -> int:
    """The process that runs, or ran, the job of a seed."""
    return int((app / "night" / f"seed_{seed}" / "process").read_text())


def is_there(pid: int) -> bool:
    """Whether a process is there and has not ended; one that nobody has waited for has ended."""
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return listed.stdout.strip()[:1] not in ("", "Z")


def test_jobs_run_beside_each_other_and_a_failing_one_leaves_them_alone(app: Path) -> None:
    """Exit code 1, and all that finished is in the report. Jobs are handed out one by one: after
    short ones joblib would give several to one process, and they would wait for each other."""
    said = done(app, *PARALLEL, "seed=3,0,4,5", code=1)
    assert "batch_size=1," in said
    assert "4 jobs, 1 failed." in said
    assert "ValueError: no luck" in said
    assert ["FINISHED", "FAILED", "FINISHED", "FINISHED"] == statuses(app)


@pytest.mark.parametrize(
    ("number", "to_all"),
    [(signal.SIGINT, True), (signal.SIGINT, False), (signal.SIGTERM, False)],
)
def test_a_signal_ends_the_jobs_and_begins_no_other(
    app: Path, number: signal.Signals, to_all: bool
) -> None:
    """Whether it comes to the process of the sweep alone or, as Ctrl-C does, to all of them."""
    process = started(app, *PARALLEL, "seed=6,7,8,9")
    wait_for(process, app, 6, 7)
    (os.killpg if to_all else os.kill)(process.pid, number)
    said, _ = process.communicate(timeout=60)
    assert 128 + number == process.returncode, said
    assert "Traceback" not in said
    assert ["KILLED", "KILLED"] == statuses(app)
    assert "2 jobs, 2 failed. Not begun: 2." in said
    assert "## Not begun\n\n- tracking=none seed=8\n- tracking=none seed=9\n" in said
    assert f"was interrupted by {number.name}" in said
    assert f"  python app.py {' '.join(NAMED[:2])}" in said


def test_a_signal_to_all_processes_is_one_request(app: Path) -> None:
    """As `timeout` sends it: to the command, and at once to its group. The jobs hear it twice too,
    from outside and passed on, and finish their step all the same."""
    process = started(app, *PARALLEL, "seed=20,21,22")
    wait_for(process, app, 20, 21)
    os.kill(process.pid, signal.SIGTERM)
    os.killpg(process.pid, signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert 143 == process.returncode, said
    assert ["KILLED", "KILLED"] == statuses(app)
    assert all((app / "night" / f"seed_{seed}" / "checkpoint").exists() for seed in (20, 21))
    assert "2 jobs, 2 failed. Not begun: 1." in said


def test_sigterm_to_the_process_of_a_job_ends_that_job_alone(app: Path) -> None:
    """It goes on with those that have not begun."""
    process = started(app, *PARALLEL, "seed=6,7,0,1")
    wait_for(process, app, 6, 7)
    os.kill(job_process_of(app, 6), signal.SIGTERM)
    wait_for(process, app, 0, 1)
    os.kill(job_process_of(app, 7), signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert 1 == process.returncode, said
    assert "4 jobs, 2 failed." in said
    assert "Not begun" not in said
    assert ["FINISHED", "FINISHED", "KILLED", "KILLED"] == statuses(app)


def test_a_second_signal_ends_them_at_once(app: Path) -> None:
    """Jobs that do not stop are killed, and marked so."""
    process = started(app, *PARALLEL, "seed=6,7,8,9")
    wait_for(process, app, 6, 7)
    deaf = {job_process_of(app, seed) for seed in (6, 7)}
    assert 2 == len(deaf)
    assert process.pid not in deaf
    for pid in deaf:
        os.kill(pid, signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    with process.stdout as stdout:
        assert any("once more stops at once" in line for line in stdout)
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        said = stdout.read()
    assert 130 == process.wait(timeout=60), said
    assert "was interrupted by SIGINT" in said
    assert "before anything had begun" not in said
    assert not any(map(is_there, deaf))


def test_a_killed_process_ends_the_sweep_with_what_is_there(app: Path) -> None:
    """As where memory is short: exit code 1, a report, and the command that goes on."""
    process = started(app, *PARALLEL, "seed=0,6,7,8")
    wait_for(process, app, 6, 7)
    jobs = {job_process_of(app, seed) for seed in (6, 7)}
    assert all(map(is_there, jobs))
    os.kill(min(jobs), signal.SIGKILL)
    said, _ = process.communicate(timeout=60)
    assert 1 == process.returncode, said
    assert "Traceback" not in said
    assert "3 jobs, 2 failed. Not begun: 1." in said
    assert "has lost a process that ran one of its jobs" in said
    assert "hydra.launcher.n_jobs" in said
    assert not any(map(is_there, jobs))


def test_one_job_at_a_time_is_stopped_as_without_a_launcher(app: Path) -> None:
    """n_jobs=1 runs them in the process of the sweep."""
    process = started(app, PARALLEL[0], "hydra.launcher.n_jobs=1", "seed=6,7")
    wait_for(process, app, 6)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert 143 == process.returncode, said
    assert ["KILLED"] == statuses(app)
    assert "was interrupted by SIGTERM" in said


def test_a_batch_size_that_was_typed_stays(app: Path) -> None:
    assert "batch_size=2," in done(app, *PARALLEL, "hydra.launcher.batch_size=2", "seed=0,1")


def test_jobs_name_the_door_that_their_sweep_came_in_by(app: Path) -> None:
    """Under submitit too, whose processes have a script of its own."""
    (app / "tersely").write_text(APP)
    process = started(app, "hydra/launcher=submitit_local", "seed=0", script="tersely")
    said, _ = process.communicate(timeout=120)
    assert 0 == process.returncode, said
    assert "tersely report" == (app / "night" / "seed_0" / "began").read_text()
