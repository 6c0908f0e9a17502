"""Shared stages, in real processes that race, wait and die."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import tersely
from tersely.errors import TrackingError, TrainingDiverged
from tersely.training import stage_store
from tersely.training.manifest import write_manifest
from tersely.training.stage_store import shared_stage, stage_key

KEY = "0123456789abcdef"
PACKAGE = Path(tersely.__file__).parent

JOB = """
import logging, os, sys, time
from pathlib import Path
from tersely.training.manifest import write_manifest
from tersely.training.stage_store import shared_stage

logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
store, may_finish = Path(sys.argv[1]), Path(sys.argv[2])

def train(folder):
    folder.mkdir(parents=True)
    (folder / "half").write_text("written")
    print("training", flush=True)
    for _ in range(1500):
        if may_finish.exists():
            break
        time.sleep(0.01)
    else:
        sys.exit("never told to finish")
    (folder / "weights").write_text(str(os.getpid()))
    write_manifest(folder)

folder, trained = shared_stage(store, "0123456789abcdef", train)
print(trained, (folder / "weights").read_text(), flush=True)
"""


def start(store: Path, may_finish: Path) -> subprocess.Popen[str]:
    """A run whose training goes on until the file `may_finish` is there."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", JOB, str(store), str(may_finish)],
        env=os.environ | {"PYTHONPATH": str(PACKAGE.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def train(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "weights").write_text("mine")
    write_manifest(folder)


def must_not_train(folder: Path) -> None:
    raise AssertionError("the stage is there already")


def test_the_second_run_finds_what_the_first_trained(tmp_path: Path) -> None:
    store = tmp_path / "not there" / "yet"
    assert (store / KEY, True) == shared_stage(store, KEY, train)
    assert (store / KEY, False) == shared_stage(store, KEY, must_not_train)
    assert "mine" == (store / KEY / "weights").read_text()
    assert (store / "another", True) == shared_stage(store, "another", train)


def test_a_damaged_stage_is_trained_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shared_stage(tmp_path, KEY, train)
    (tmp_path / KEY / "weights").write_text("mins")

    assert (tmp_path / KEY, True) == shared_stage(tmp_path, KEY, train)

    assert "mine" == (tmp_path / KEY / "weights").read_text()
    assert "weights is not as it was written" in caplog.text


def test_of_runs_beside_each_other_one_trains_and_the_others_wait(tmp_path: Path) -> None:
    """Three processes; two of them say what they are waiting for."""
    store, may_finish = tmp_path / "store", tmp_path / "may finish"
    trainer = start(store, may_finish)
    assert trainer.stdout is not None
    assert "training\n" == trainer.stdout.readline()
    others = [start(store, may_finish) for _ in range(2)]
    for other in others:
        assert other.stderr is not None
        assert f"waiting for the run that trains shared stage {KEY}" in other.stderr.readline()

    may_finish.touch()
    results = [job.communicate(timeout=60)[0].split() for job in (trainer, *others)]

    pid = str(trainer.pid)
    assert [["True", pid], ["False", pid], ["False", pid]] == results


def test_a_killed_run_leaves_the_stage_to_the_next_and_nothing_behind(tmp_path: Path) -> None:
    """SIGKILL in the middle: no handler runs, the lock goes with the process."""
    store, may_finish = tmp_path / "store", tmp_path / "may finish"
    dying = start(store, may_finish)
    assert dying.stdout is not None
    assert "training\n" == dying.stdout.readline()
    waiting = start(store, may_finish)
    assert waiting.stderr is not None
    assert "waiting" in waiting.stderr.readline()
    assert not (store / KEY).exists()

    dying.send_signal(signal.SIGKILL)
    dying.communicate(timeout=30)
    may_finish.touch()
    out, _ = waiting.communicate(timeout=30)

    assert ["training", "True", str(waiting.pid)] == out.split()
    assert {KEY, f"{KEY}.lock"} == {path.name for path in store.iterdir()}
    assert {"half", "manifest.json", "weights"} == {path.name for path in (store / KEY).iterdir()}


def test_a_stage_that_fails_is_left_to_the_next_run(tmp_path: Path) -> None:
    """Its error passes through, half of it is not kept, and no lock stays."""

    def diverge(folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "half").touch()
        raise TrainingDiverged("not finite")

    with pytest.raises(TrainingDiverged):
        shared_stage(tmp_path, KEY, diverge)

    assert [f"{KEY}.lock"] == [path.name for path in tmp_path.iterdir()]
    assert shared_stage(tmp_path, KEY, train)[1]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "stages").write_text("a file")
    with pytest.raises(TrackingError, match=r"stages \(.*\); set tracking\.folder to"):
        shared_stage(tmp_path / "stages", KEY, must_not_train)


def test_the_key_follows_everything_it_is_given() -> None:
    given = {"seed": 0, "length": ["LengthConfig", {"target": 64}], "data": "ab"}
    key = stage_key(given)

    assert 16 == len(key)
    assert key == stage_key(dict(reversed(given.items())))
    others = [
        given | {"seed": 1},
        given | {"length": ["LengthConfig", {"target": 65}]},
        given | {"length": ["OtherConfig", {"target": 64}]},
        given | {"data": "ac"},
        given | {"more": None},
    ]
    assert 6 == len({key, *map(stage_key, others)})


def test_the_key_follows_the_code_that_weights_depend_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is computed differently is another stage; how it is tracked is not."""
    package = shutil.copytree(
        PACKAGE, tmp_path / "tersely", ignore=shutil.ignore_patterns("__pycache__", "tiny")
    )
    monkeypatch.setattr(stage_store, "__file__", str(package / "training" / "stage_store.py"))
    seen = [stage_key({})]

    for name in (
        "data/rows.py",
        "objective/terms.py",
        "policy/logprobs.py",
        "rewards/length.py",
        "rollout/decode.py",
        "training/update.py",
        "seeds.py",
        "run.py",
    ):
        with (package / name).open("a") as file:
            file.write("# another line\n")
        seen.append(stage_key({}))
    assert len(seen) == len(set(seen))

    for name in ("tracking/store.py", "launch.py"):
        with (package / name).open("a") as file:
            file.write("# another line\n")
    assert seen[-1] == stage_key({})


def test_the_key_follows_the_versions_that_weights_depend_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = set()
    for mlx, mlx_lm in (("1", "1"), ("2", "1"), ("1", "2")):
        versions = {"mlx": mlx, "mlx-lm": mlx_lm}
        monkeypatch.setattr(stage_store, "version", versions.__getitem__)
        keys.add(stage_key({}))
    assert 3 == len(keys)
