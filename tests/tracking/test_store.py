"""The MLflow store: made once, found unwritable in time, addressed exactly."""

import errno
import fcntl
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tersely.errors import ConfigError, TrackingError
from tersely.tracking import MlflowTracking, NoTracking
from tersely.tracking.store import compare_url, prepare_store, run_url, store_uri, ui_address
from tersely.tracking.stored_runs import RunStore

PREPARE = """
import sys
from tersely.tracking import MlflowTracking
from tersely.tracking.stored_runs import RunStore
from tersely.tracking.store import prepare_store
print(prepare_store(MlflowTracking(folder=sys.argv[1])).experiment_id)
"""


def test_processes_that_race_for_a_missing_store_share_one(tmp_path: Path) -> None:
    """Two processes at once make one database with one experiment, and none of them fails."""
    command = [sys.executable, "-c", PREPARE, str(tmp_path / "mlruns")]
    racers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [racer.communicate(timeout=60) for racer in racers]
    assert [("1\n", "")] * 2 == answers
    with closing(sqlite3.connect(tmp_path / "mlruns" / "mlflow.db")) as database:
        names = [name for (name,) in database.execute("SELECT name FROM experiments")]
    assert ["Default", "tersely"] == sorted(names)


def test_a_store_is_made_without_locks_where_there_are_none(
    tracking: MlflowTracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems that machines share refuse each lock."""

    def refuse(lock: object, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    store = prepare_store(tracking)
    assert "tersely" == store.client.get_experiment(store.experiment_id).name


def test_artifacts_live_beside_the_database(tracking: MlflowTracking) -> None:
    """Everything of an experiment is under the tracking folder."""
    store = prepare_store(tracking)
    location = store.client.get_experiment(store.experiment_id).artifact_location
    assert (Path(tracking.folder) / "artifacts").as_uri() == location


def test_preparing_twice_changes_nothing(tracking: MlflowTracking) -> None:
    """The second call finds what the first one made."""
    assert prepare_store(tracking).experiment_id == prepare_store(tracking).experiment_id


def test_a_folder_with_a_space_works(template: Path, tmp_path: Path) -> None:
    """Paths are not cut or escaped twice on their way through two kinds of address."""
    folder = tmp_path / "my runs 100%"
    folder.mkdir()
    shutil.copyfile(template, folder / "mlflow.db")
    tracking = MlflowTracking(folder=str(folder))
    (tmp_path / "note.txt").write_text("kept")
    with tracking.build(tmp_path / "run", "a") as run:
        run.artifact(tmp_path / "note.txt")
    kept = list((folder / "artifacts").glob("*/artifacts/note.txt"))
    assert ["kept"] == [file.read_text() for file in kept]


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    """What, why and what to set, before any run starts."""
    (tmp_path / "mlruns").write_text("in the way")
    with pytest.raises(TrackingError) as caught:
        MlflowTracking(folder=str(tmp_path / "mlruns")).prepare()
    message = str(caught.value)
    assert str(tmp_path / "mlruns") in message
    assert "tracking.folder=FOLDER" in message
    assert "tracking=none" in message


def test_a_folder_that_takes_no_files_is_named() -> None:
    """A file system that refuses to make files, whoever asks (root too)."""
    if not os.path.isdir("/proc/self"):
        pytest.skip("no /proc on this system")
    with pytest.raises(TrackingError, match="/proc/mlruns cannot be written"):
        MlflowTracking(folder="/proc/mlruns").prepare()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    """SQLite's own reason is in the message."""
    (tmp_path / "mlflow.db").write_text("not a database " * 100)
    with pytest.raises(TrackingError, match=r"mlflow\.db takes no writes \(file is not a database"):
        MlflowTracking(folder=str(tmp_path)).prepare()


def test_an_experiment_deleted_in_the_ui_is_named(tracking: MlflowTracking) -> None:
    """MLflow would refuse each run with a code; the message says how to bring it back."""
    store = prepare_store(tracking)
    store.client.delete_experiment(store.experiment_id)
    with pytest.raises(TrackingError, match=f"restore --experiment-id {store.experiment_id}"):
        tracking.prepare()


def test_without_a_store_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`tracking=none` leaves no mlruns behind."""
    monkeypatch.chdir(tmp_path)
    NoTracking().prepare()
    assert [] == list(tmp_path.iterdir())


def test_the_store_is_addressed_by_an_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that changes its folder later still writes to the same file."""
    monkeypatch.chdir(tmp_path)
    assert f"sqlite:///{tmp_path}/mlruns/mlflow.db" == store_uri(MlflowTracking())
    assert f"sqlite:///{tmp_path}/a.db" == store_uri(MlflowTracking(store="sqlite:///a.db"))
    assert "sqlite:////srv/a.db" == store_uri(MlflowTracking(store="sqlite:////srv/a.db"))


def test_the_ui_command_is_the_lean_one(tmp_path: Path) -> None:
    """This Python, one worker, no job runner, the store's own address."""
    assert (
        "MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false "
        f"{shlex.quote(sys.executable)} -m mlflow ui --host 127.0.0.1 --workers 1 "
        f"--backend-store-uri sqlite:///{tmp_path}/mlflow.db"
    ) == MlflowTracking(folder=str(tmp_path)).ui_command()


def test_the_ui_command_is_one_command_whatever_the_folder_is_called(tmp_path: Path) -> None:
    """A shell takes the address as one word, and runs nothing that is in it."""
    folder = tmp_path / "it's; touch $(here)"
    said = MlflowTracking(folder=str(folder)).ui_command()
    assert said is not None
    assert f"sqlite:///{folder}/mlflow.db" == shlex.split(said)[-1]


@pytest.mark.parametrize("name", ["a?b", "a#b", "a%20b", "x?mode=ro"])
def test_a_path_that_an_address_cannot_carry_is_named(tmp_path: Path, name: str) -> None:
    """`a?b/mlflow.db` would be the database `a`; nothing is made."""
    folder = tmp_path / name / "mlruns"
    for tracking in (
        MlflowTracking(folder=str(folder)),
        MlflowTracking(store=f"sqlite:///{folder}/mlflow.db", folder=str(tmp_path / "other")),
    ):
        with pytest.raises(TrackingError, match="which its address cannot carry"):
            tracking.prepare()
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["späß 雪", "it's", 'a"b', "a\nb", "a:b@c;d", "-rf $HOME `x`"])
def test_an_odd_name_of_a_folder_is_a_name(template: Path, tmp_path: Path, name: str) -> None:
    """The run, its artifact and its sweep are found again by the folder's name."""
    folder = tmp_path / name / "mlruns"
    folder.mkdir(parents=True)
    shutil.copyfile(template, folder / "mlflow.db")
    tracking = MlflowTracking(folder=str(folder))
    (tmp_path / "note.txt").write_text("kept")
    with tracking.build(tmp_path / name / "run", "a", {"sweep": name}) as run:
        run.artifact(tmp_path / "note.txt")
        run.metrics({"reward/mean": 1.0}, 1)
    kept = list((folder / "artifacts").glob("*/artifacts/note.txt"))
    assert ["kept"] == [file.read_text() for file in kept]
    (found,) = RunStore(tracking).sweep(name)
    assert run.run_id == found.run_id
    assert [] == RunStore(tracking).sweep(f"{name} ")
    assert {name, "note.txt"} == {each.name for each in tmp_path.iterdir()}


def test_a_tracking_server_is_its_own_ui() -> None:
    """Nothing to start, and links go to the server."""
    tracking = MlflowTracking(store="http://box:5000/")
    assert tracking.ui_command() is None
    assert "http://box:5000" == ui_address(tracking)


def test_the_compare_url_holds_two_json_lists() -> None:
    """The exact form that MLflow's page reads: ["a1","b2"] and ["7"], percent-encoded."""
    assert (
        "http://127.0.0.1:5000/#/compare-runs"
        "?runs=%5B%22a1%22%2C%22b2%22%5D&experiments=%5B%227%22%5D"
        "&workflowType=machine_learning"
    ) == compare_url("http://127.0.0.1:5000", "7", ["a1", "b2"])


def test_the_run_url() -> None:
    """Experiment, then run."""
    assert "http://h/#/experiments/7/runs/a1?workflowType=machine_learning" == run_url(
        "http://h", "7", "a1"
    )


@pytest.mark.parametrize("store", ["http://me:sesame@box:5000", "https://box/?token=sesame"])
def test_a_secret_in_an_address_is_refused_and_not_repeated(store: str, tmp_path: Path) -> None:
    """It would stand in config.yaml, in messages and in links."""
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_PASSWORD") as raised:
        MlflowTracking(store=store, folder=str(tmp_path / "mlruns"))
    assert "sesame" not in str(raised.value)
    assert [] == list(tmp_path.iterdir())
