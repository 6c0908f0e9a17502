"""Runs of a sweep whose process is gone."""

import fcntl
from pathlib import Path

import pytest

from tersely.tracking import MlflowTracking
from tersely.tracking.attempts import keep_run_id, kept_run_id, of_this_place
from tersely.tracking.store import prepare_store


def test_only_runs_that_nobody_works_on_are_marked(
    tracking: MlflowTracking, tmp_path: Path
) -> None:
    """One was killed, one is worked on, one's folder was deleted, one is of another machine, one
    of another sweep."""
    store = prepare_store(tracking)

    def running(name: str, sweep: str = "night", made: bool = True, machine: str = "") -> str:
        tags = {**of_this_place(tmp_path / name), "sweep": sweep}
        if made:
            (tmp_path / name).mkdir()
        if machine:
            tags["machine"] = machine
        return str(store.client.create_run(store.experiment_id, tags=tags).info.run_id)

    killed, working = running("killed"), running("working")
    deleted, elsewhere = running("deleted", made=False), running("elsewhere", machine="another")
    other = running("other", sweep="day")
    with (tmp_path / "working" / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tracking.end_stale("night")
    found = [
        store.client.get_run(run_id).info.status
        for run_id in (killed, working, deleted, elsewhere, other)
    ]
    assert ["KILLED", "RUNNING", "KILLED", "RUNNING", "RUNNING"] == found


@pytest.mark.parametrize("text", ["", "{", "[]", '{"run_id": 3}', '{"run_id": "../../x"}'])
def test_a_broken_id_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "mlflow.json").write_text(text)
    assert kept_run_id(tmp_path) is None


def test_an_id_comes_back(tmp_path: Path) -> None:
    keep_run_id(tmp_path, "0a1b")
    assert "0a1b" == kept_run_id(tmp_path)
