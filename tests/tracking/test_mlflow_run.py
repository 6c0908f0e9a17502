"""A run in a real MLflow store."""

import json
import math
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tersely.errors import TrackingError
from tersely.tracking import MlflowTracking, NoTracking, outbox
from tersely.tracking.attempts import of_this_place
from tersely.tracking.folder_run import FolderRun, read_metrics
from tersely.tracking.store import prepare_store, store_uri


def stored(tracking: MlflowTracking, run_id: str | None) -> Any:
    assert run_id is not None
    return prepare_store(tracking).client.get_run(run_id)


def history(tracking: MlflowTracking, run_id: str | None, key: str) -> list[tuple[int, float]]:
    assert run_id is not None
    points = prepare_store(tracking).client.get_metric_history(run_id, key)
    return sorted((point.step, point.value) for point in points)


@contextmanager
def refusing(tracking: MlflowTracking) -> Iterator[None]:
    """The store has no table for metrics meanwhile, as after a disk error."""
    with closing(sqlite3.connect(Path(tracking.folder) / "mlflow.db", timeout=20)) as database:
        database.execute("PRAGMA legacy_alter_table = ON")
        database.execute("ALTER TABLE metrics RENAME TO hidden")
        yield
        database.execute("ALTER TABLE hidden RENAME TO metrics")


def test_a_run_is_complete_in_the_store(tracking: MlflowTracking, tmp_path: Path) -> None:
    """Params, tags, a thousand steps of three metrics, a table, a file and a folder."""
    (tmp_path / "config.yaml").write_text("seed: 3\n")
    (tmp_path / "final").mkdir()
    (tmp_path / "final" / "weights").write_text("w")
    rows = [{"text": "snö", "length": 3, "rouge_l": math.nan}, {"text": "b", "stopped": True}]
    with tracking.build(tmp_path / "run", "rouge joint", {"sweep": "s"}) as run:
        run.params({"seed": 3, "beta": 1e-4, "smooth": True, "model": "tiny"})
        run.tags({"data": "abc"})
        for step in range(1000):
            run.metrics({"reward/mean": step / 2, "length/mean": 64, "loss/total": 0}, step)
        run.table("summaries", rows)
        run.artifact(tmp_path / "config.yaml")
        run.artifact(tmp_path / "final", "checkpoints")
    found = stored(tracking, run.run_id)
    assert "FINISHED" == found.info.status
    assert "rouge joint" == found.info.run_name
    assert {"seed": "3", "beta": "0.0001", "smooth": "true", "model": "tiny"} == found.data.params
    assert ("s", "abc") == (found.data.tags["sweep"], found.data.tags["data"])
    assert "error" not in found.data.tags
    expected = [(step, step / 2) for step in range(1000)]
    assert expected == history(tracking, run.run_id, "reward/mean")
    assert 1000 == len(history(tracking, run.run_id, "loss/total"))
    artifacts = Path(found.info.artifact_uri.removeprefix("file://"))
    assert "seed: 3\n" == (artifacts / "config.yaml").read_text()
    assert "w" == (artifacts / "checkpoints" / "final" / "weights").read_text()
    assert {
        "columns": ["text", "length", "rouge_l", "stopped"],
        "data": [["snö", 3, None, None], ["b", None, None, True]],
    } == json.loads((artifacts / "tables" / "summaries.json").read_text(encoding="utf-8"))


def test_the_table_is_one_that_mlflow_reads(
    tracking: MlflowTracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`load_table` finds it, and a table given again replaces the first."""
    # load_table looks for the run in the store of the environment, not in its client's.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri(tracking))
    with tracking.build(tmp_path / "run", "a") as run:
        run.table("summaries", [{"text": "old"}])
        run.table("summaries", [{"text": "new", "length": 3}])
        run.table("other", [{"text": "x"}])
    store = prepare_store(tracking)
    run_ids = [str(run.run_id)]
    table = store.client.load_table(store.experiment_id, "tables/summaries.json", run_ids=run_ids)
    assert [{"text": "new", "length": 3}] == table.to_dict("records")
    marks = json.loads(stored(tracking, run.run_id).data.tags["mlflow.loggedArtifacts"])
    assert ["tables/summaries.json", "tables/other.json"] == [mark["path"] for mark in marks]


def test_the_same_things_are_in_the_folder(tracking: MlflowTracking, tmp_path: Path) -> None:
    """What the store would lose with its disk is beside the run too."""
    with tracking.build(tmp_path / "run", "a") as run:
        run.params({"seed": 3})
        run.metrics({"reward/mean": 0.5}, step=1)
        run.table("summaries", [{"text": "a"}])
    assert [0.5] == [line["reward/mean"] for line in read_metrics(tmp_path / "run")]
    assert {"seed": 3} == json.loads((tmp_path / "run" / "params.json").read_text())
    assert '{"text": "a"}\n' == (tmp_path / "run" / "tables" / "summaries.jsonl").read_text()


def test_a_run_that_fails_is_marked(tracking: MlflowTracking, tmp_path: Path) -> None:
    """FAILED with its reason; the points before the failure are there."""
    with (
        pytest.raises(ValueError, match="no such post"),
        tracking.build(tmp_path / "run", "a") as run,
    ):
        run.metrics({"reward/mean": 0.5}, step=1)
        raise ValueError("no such post")
    found = stored(tracking, run.run_id)
    assert "FAILED" == found.info.status
    assert "ValueError: no such post" == found.data.tags["error"]
    assert [(1, 0.5)] == history(tracking, run.run_id, "reward/mean")


def test_a_run_that_is_interrupted_is_marked(tracking: MlflowTracking, tmp_path: Path) -> None:
    """KILLED: somebody stopped it, nothing was wrong with it."""
    with pytest.raises(KeyboardInterrupt), tracking.build(tmp_path / "run", "a") as run:
        raise KeyboardInterrupt
    assert "KILLED" == stored(tracking, run.run_id).info.status


def test_the_run_is_not_mlflows_active_run(tracking: MlflowTracking, tmp_path: Path) -> None:
    """Two runs go on beside each other in one process."""
    import mlflow

    with (
        tracking.build(tmp_path / "a", "a") as first,
        tracking.build(tmp_path / "b", "b") as second,
    ):
        assert mlflow.active_run() is None
        first.metrics({"reward/mean": 1.0}, step=1)
        second.metrics({"reward/mean": 2.0}, step=1)
    assert [(1, 1.0)] == history(tracking, first.run_id, "reward/mean")
    assert [(1, 2.0)] == history(tracking, second.run_id, "reward/mean")


def test_nan_and_a_point_given_twice_are_as_mlflow_has_them(
    tracking: MlflowTracking, tmp_path: Path
) -> None:
    """NaN stays NaN; the same key and step twice are two points."""
    with tracking.build(tmp_path / "run", "a") as run:
        run.metrics({"loss/total": math.nan, "reward/mean": 1.0}, step=1)
        run.metrics({"reward/mean": 2.0}, step=1)
    ((step, value),) = history(tracking, run.run_id, "loss/total")
    assert 1 == step
    assert math.isnan(value)
    assert [(1, 1.0), (1, 2.0)] == history(tracking, run.run_id, "reward/mean")


def test_a_locked_store_does_not_stop_training(tracking: MlflowTracking, tmp_path: Path) -> None:
    """Points written while another process holds the database arrive after it lets go."""
    database = sqlite3.connect(Path(tracking.folder) / "mlflow.db", check_same_thread=False)
    with closing(database), tracking.build(tmp_path / "run", "a") as run:
        database.execute("BEGIN EXCLUSIVE")
        letting_go = threading.Timer(3.0, database.rollback)
        letting_go.start()
        began = time.monotonic()
        for step in range(100):
            run.metrics({"reward/mean": float(step)}, step)
        assert time.monotonic() - began < 1.0
    letting_go.join()
    expected = [(step, float(step)) for step in range(100)]
    assert expected == history(tracking, run.run_id, "reward/mean")


def test_points_that_the_store_refused_arrive_later(
    tracking: MlflowTracking, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The flush fails while the table is away, and succeeds at the next attempt."""
    with tracking.build(tmp_path / "run", "a") as run:
        with refusing(tracking):
            run.metrics({"reward/mean": 1.0}, step=1)
            deadline = time.monotonic() + 10
            while "no such table: metrics" not in caplog.text and time.monotonic() < deadline:
                time.sleep(0.05)
        run.metrics({"reward/mean": 2.0}, step=2)
    assert "no such table: metrics" in caplog.text
    assert [(1, 1.0), (2, 2.0)] == history(tracking, run.run_id, "reward/mean")


def test_points_beyond_what_waits_in_memory_are_read_from_the_folder(
    tracking: MlflowTracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three of twenty wait; the others are in `metrics.jsonl` alone until the store is back."""
    monkeypatch.setattr(outbox, "MOST", 3)
    read, kept_points = [], FolderRun.kept_points
    monkeypatch.setattr(
        FolderRun, "kept_points", lambda files: read.append(files) or kept_points(files)
    )
    with tracking.build(tmp_path / "run", "a") as run:
        with refusing(tracking):
            for step in range(20):
                run.metrics({"reward/mean": float(step)}, step)
        run.metrics({"reward/mean": 20.0}, step=20)
    assert read
    expected = [(step, float(step)) for step in range(21)]
    assert expected == history(tracking, run.run_id, "reward/mean")


def test_a_store_that_died_is_told_with_the_place_of_the_metrics(
    tracking: MlflowTracking, tmp_path: Path
) -> None:
    """At the end of a run that was fine otherwise."""
    with (
        pytest.raises(TrackingError) as caught,
        ExitStack() as death,
        tracking.build(tmp_path / "run", "a") as run,
    ):
        death.enter_context(refusing(tracking))
        run.metrics({"reward/mean": 1.0}, step=1)
    file = tmp_path / "run" / "metrics.jsonl"
    assert (
        "the MLflow store did not take 1 metric points ((sqlite3.OperationalError) no such "
        f"table: metrics). Nothing is lost: the metrics are in {file}; free the store, or set "
        "tracking=none"
    ) == str(caught.value)
    assert [1.0] == [line["reward/mean"] for line in read_metrics(tmp_path / "run")]


def test_a_dead_store_does_not_hide_why_the_run_failed(
    tracking: MlflowTracking, tmp_path: Path
) -> None:
    """The run's own error goes on; the store's is a note on it."""
    with (
        pytest.raises(ValueError, match="diverged") as caught,
        ExitStack() as death,
        tracking.build(tmp_path / "run", "a") as run,
    ):
        death.enter_context(refusing(tracking))
        run.metrics({"reward/mean": 1.0}, step=1)
        raise ValueError("diverged")
    (note,) = caught.value.__notes__
    assert "the MLflow store did not take 1 metric points" in note


def test_a_run_that_goes_on_is_one_run(tracking: MlflowTracking, tmp_path: Path) -> None:
    """The second attempt has the first one's id, every step once, both tables, no error tag, and
    is FINISHED. What was not a number or not finite comes back as it was."""
    odd = {"loss/total": math.nan, "loss/ratio_mean": math.inf}
    with (
        pytest.raises(ValueError, match="broken"),
        tracking.build(tmp_path / "run", "a", {"sweep": "s"}) as first,
    ):
        first.params({"seed": 3})
        first.table("before", [{"id": "a"}])
        first.metrics(odd, step=1)
        for step in range(4):
            first.metrics({"reward/mean": float(step)}, step)
        raise ValueError("broken")
    with tracking.build(tmp_path / "run", "a", goes_on=True) as second:
        assert "RUNNING" == stored(tracking, second.run_id).info.status
        assert "error" not in stored(tracking, second.run_id).data.tags
        second.params({"seed": 3, "beta": 0.1})
        second.table("after", [{"id": "a"}])
        second.metrics(odd, step=1)
        for step in (2, 3, 4):
            second.metrics({"reward/mean": 10.0 * step}, step=step)
    assert first.run_id == second.run_id
    expected = [(0, 0.0), (1, 1.0), (2, 2.0), (3, 3.0), (4, 40.0)]
    assert expected == history(tracking, second.run_id, "reward/mean")
    for key in odd:
        assert 1 == len(history(tracking, second.run_id, key))
    found = stored(tracking, second.run_id)
    assert ("FINISHED", "s") == (found.info.status, found.data.tags["sweep"])
    assert {"seed": "3", "beta": "0.1"} == found.data.params
    marks = json.loads(found.data.tags["mlflow.loggedArtifacts"])
    assert ["tables/before.json", "tables/after.json"] == [mark["path"] for mark in marks]


@pytest.mark.parametrize("loss", ["deleted", "broken", "no store"])
def test_a_run_that_is_gone_from_the_store_begins_there_with_all_that_the_folder_has(
    loss: str, tracking: MlflowTracking, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Deleted by hand, its id unreadable, or never in a store."""
    before = NoTracking() if loss == "no store" else tracking
    with before.build(tmp_path / "run", "a", {"sweep": "s"}) as first:
        first.params({"seed": 3})
        first.tags({"data": "abc"})
        first.metrics({"reward/mean": 0.5}, step=1)
        first.table("summaries", [{"id": "a"}])
    if loss == "deleted":
        assert first.run_id is not None
        prepare_store(tracking).client.delete_run(first.run_id)
    elif loss == "broken":
        (tmp_path / "run" / "mlflow.json").write_text('{"run_')
    with tracking.build(tmp_path / "run", "a", goes_on=True) as second:
        second.metrics({"reward/mean": 0.75}, step=2)
    assert first.run_id != second.run_id
    said = {"deleted": "not in this MLflow store any more", "broken": "counts as missing"}
    assert said.get(loss, "") in caplog.text
    found = stored(tracking, second.run_id)
    assert [(1, 0.5), (2, 0.75)] == history(tracking, second.run_id, "reward/mean")
    assert ("3", "abc") == (found.data.params["seed"], found.data.tags["data"])
    artifacts = Path(found.info.artifact_uri.removeprefix("file://"))
    assert (artifacts / "tables" / "summaries.json").is_file()


def test_the_runs_id_is_on_the_disk_before_anything_is_measured(
    tracking: MlflowTracking, tmp_path: Path
) -> None:
    with tracking.build(tmp_path / "run", "a") as run:
        kept = json.loads((tmp_path / "run" / "mlflow.json").read_text())
        assert {"run_id": run.run_id} == kept


def test_an_attempt_that_was_killed_before_it_kept_its_id_is_marked(
    tracking: MlflowTracking, tmp_path: Path
) -> None:
    """It is known by its folder and its machine; another folder's run is left alone."""
    store = prepare_store(tracking)
    here = of_this_place(tmp_path / "run")
    orphan, other, elsewhere = (
        store.client.create_run(store.experiment_id, tags=tags).info.run_id
        for tags in (here, of_this_place(tmp_path / "b"), {**here, "machine": "another"})
    )
    with tracking.build(tmp_path / "run", "a", here, goes_on=True) as run:
        assert run.run_id not in (orphan, other, elsewhere)
        statuses = [stored(tracking, each).info.status for each in (orphan, other, elsewhere)]
        assert ["KILLED", "RUNNING", "RUNNING"] == statuses


def test_a_run_folder_that_cannot_be_written_leaves_no_run(
    tracking: MlflowTracking, tmp_path: Path
) -> None:
    """The folder is tried before the store has a run that would never end."""
    (tmp_path / "run").write_text("in the way")
    with pytest.raises(TrackingError), tracking.build(tmp_path / "run", "a"):
        pass
    store = prepare_store(tracking)
    assert [] == list(store.client.search_runs([store.experiment_id]))


def test_the_url_is_the_runs_page(tracking: MlflowTracking, tmp_path: Path) -> None:
    """None before the run has begun."""
    run = tracking.build(tmp_path / "run", "a")
    assert run.url is None
    with run:
        experiment = prepare_store(tracking).experiment_id
        page = f"http://127.0.0.1:5000/#/experiments/{experiment}/runs/{run.run_id}"
        assert f"{page}?workflowType=machine_learning" == run.url
