"""Whether runs can be kept, found out with nothing made."""

import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tersely.planning.keeping import problem_of_keeping
from tersely.tracking.config import MlflowTracking, NoTracking


def test_a_folder_that_can_be_made_is_not(tmp_path: Path) -> None:
    """Nor is a store, wherever it will be."""
    folder = tmp_path / "far" / "mlruns"
    store = f"sqlite:///{tmp_path / 'elsewhere' / 'runs.db'}"
    assert "" == problem_of_keeping(MlflowTracking(str(folder)), shares=True)
    assert "" == problem_of_keeping(MlflowTracking(str(folder), store), shares=False)
    assert [] == list(tmp_path.iterdir())


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    said = problem_of_keeping(MlflowTracking(str(file / "mlruns")), shares=False)
    assert f"tracking.folder={file}/mlruns cannot be written ({file} is no folder)" in said
    said = problem_of_keeping(MlflowTracking(str(tmp_path), f"sqlite:///{file}/a.db"), False)
    assert f"the MLflow store {file}/a.db cannot be written ({file} is no folder)" in said
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    assert f"({link} is no folder)" in problem_of_keeping(MlflowTracking(str(link)), False)


def test_without_a_store_the_folder_is_for_shared_stages(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    said = [problem_of_keeping(NoTracking(str(file)), shares) for shares in (True, False)]
    assert [True, False] == ["cannot be written" in each for each in said]


def test_a_file_that_is_no_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database " * 100)
    said = problem_of_keeping(MlflowTracking(str(tmp_path)), shares=False)
    assert "mlflow.db takes no writes (file is not a database" in said


def test_a_store_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE runs (id TEXT)")
    before = file.read_bytes()
    assert "" == problem_of_keeping(MlflowTracking(str(tmp_path)), shares=False)
    assert before == file.read_bytes()
    assert [file] == list(tmp_path.iterdir())


def test_a_server_that_does_not_answer_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a port that nobody listens to."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        said = problem_of_keeping(MlflowTracking(str(tmp_path), address), shares=False)
    assert f"the MLflow store {address} cannot be opened" in said
    assert [] == list(tmp_path.iterdir())
