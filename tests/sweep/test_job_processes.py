"""Jobs beside each other under `hydra/launcher=joblib`, with real processes that train nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tersely.sweep.result import read_results

APP = """
import time

import hydra

from tersely.config import CONF, register, resolved_yaml
from tersely.earlier_attempt import take_folder
from tersely.job import recorded, say_that_it_is_done
from tersely.launch import current_job, guarded, mendable

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
        (job.folder / "began").touch()
        if job.seed in WAITING:
            together = [job.folder.parent / f"seed_{seed}" / "began" for seed in WAITING]
            while not all(file.exists() for file in together):
                time.sleep(0.05)
        while 5 < job.seed < 10:
            time.sleep(0.05)


if __name__ == "__main__":
    guarded(hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(main))
"""
"""The job of seed 3 fails, those of 4 and 5 wait for each other, 6 to 9 run until they are stopped,
and all others end at once."""
NAMED = ("-m", "tracking=none", "hydra.sweep.dir=night", "hydra.sweep.subdir=seed_${seed}")
PARALLEL = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def started(app: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "app.py", *NAMED, *arguments],
        cwd=app,
        env={name: value for name, value in os.environ.items() if "TERSELY" not in name},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def done(app: Path, *arguments: str, code: int = 0) -> str:
    process = started(app, *arguments)
    said, _ = process.communicate(timeout=120)
    assert code == process.returncode, said
    return said


def wait_for(process: "subprocess.Popen[str]", app: Path, *seeds: int) -> None:
    files = [app / "night" / f"seed_{seed}" / "began" for seed in seeds]
    while not all(file.exists() for file in files):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)


def statuses(app: Path) -> list[str]:
    return [result.status for result in read_results(app / "night")]


def job_processes(process: "subprocess.Popen[str]") -> list[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True)
    lines = [line.split(maxsplit=2) for line in listed.stdout.splitlines()]
    ours = [line for line in lines if line[1] == str(process.pid)]
    return [int(line[0]) for line in ours if "popen_loky" in line[2]]


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
    assert "2 jobs, 2 failed." in said
    assert f"was interrupted by {number.name}" in said
    assert f"  python app.py {' '.join(NAMED[:2])}" in said


def test_a_second_signal_ends_them_at_once(app: Path) -> None:
    """Jobs that do not stop are killed, and marked so."""
    process = started(app, *PARALLEL, "seed=6,7,8,9")
    wait_for(process, app, 6, 7)
    deaf = job_processes(process)
    assert 2 == len(deaf)
    for pid in deaf:
        os.kill(pid, signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert 130 == process.returncode, said
    assert "once more stops at once" in said
    assert "was interrupted by SIGINT" in said
    assert "before anything had begun" not in said
    assert [] == job_processes(process)


def test_a_killed_process_ends_the_sweep_with_what_is_there(app: Path) -> None:
    """As where memory is short: exit code 1, a report, and the command that goes on."""
    process = started(app, *PARALLEL, "seed=0,6,7,8")
    wait_for(process, app, 6, 7)
    os.kill(job_processes(process)[0], signal.SIGKILL)
    said, _ = process.communicate(timeout=60)
    assert 1 == process.returncode, said
    assert "Traceback" not in said
    assert "3 jobs, 2 failed." in said
    assert "has lost a process that ran one of its jobs" in said
    assert "hydra.launcher.n_jobs" in said
    assert [] == job_processes(process)


def test_one_job_at_a_time_is_stopped_as_without_a_launcher(app: Path) -> None:
    """n_jobs=1 runs them in the process of the sweep."""
    process = started(app, PARALLEL[0], "hydra.launcher.n_jobs=1", "seed=6,7")
    wait_for(process, app, 6)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert 143 == process.returncode, said
    assert ["KILLED"] == statuses(app)
    assert "was interrupted by SIGTERM" in said
