"""A run as plain files."""

import json
import math
from pathlib import Path

import pytest

from tersely.errors import TrackingError
from tersely.tracking import NoTracking
from tersely.tracking.folder_run import read_metrics


def read_json(file: Path) -> object:
    return json.loads(file.read_text())


def test_everything_is_in_the_folder(tmp_path: Path) -> None:
    """Params, tags, metrics, a table and an artifact, each in its place."""
    folder = tmp_path / "run"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.txt").write_text("a")
    with NoTracking().build(folder, "rouge joint", {"sweep": "s"}) as run:
        run.params({"seed": 3, "model": "tiny"})
        run.params({"beta": 0.1})
        run.tags({"data": "abc"})
        run.metrics({"reward/mean": 0.5, "length/mean": 70}, step=1)
        run.metrics({"reward/mean": 0.75}, step=2)
        run.table("summaries", [{"text": "snö \u2028 x", "length": 3}, {"text": "b", "length": 4}])
        run.artifact(tmp_path / "elsewhere", "more")
        assert (None, None) == (run.run_id, run.url)
    assert {"seed": 3, "model": "tiny", "beta": 0.1} == read_json(folder / "params.json")
    assert {
        "name": "rouge joint",
        "status": "FINISHED",
        "sweep": "s",
        "data": "abc",
    } == read_json(folder / "tags.json")
    lines = read_metrics(folder)
    assert [1, 2] == [line["step"] for line in lines]
    assert [0.5, 0.75] == [line["reward/mean"] for line in lines]
    assert 70.0 == lines[0]["length/mean"]
    table = (folder / "tables" / "summaries.jsonl").read_text(encoding="utf-8").split("\n")
    assert ["snö \u2028 x", "b"] == [json.loads(line)["text"] for line in table if line]
    assert "a" == (folder / "artifacts" / "more" / "elsewhere" / "a.txt").read_text()


def test_a_file_in_the_run_folder_is_not_copied(tmp_path: Path) -> None:
    """It is kept where it is."""
    with NoTracking().build(tmp_path, "a") as run:
        (tmp_path / "curves").mkdir()
        run.artifact(tmp_path / "curves")
    assert not (tmp_path / "artifacts").exists()


def test_an_artifact_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """At the call that named it, inside the run's folder and outside."""
    with NoTracking().build(tmp_path / "run", "a") as run:
        for path in (tmp_path / "run" / "missing", tmp_path / "missing"):
            with pytest.raises(FileNotFoundError):
                run.artifact(path)


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ValueError("two\nlines"), "FAILED", "ValueError: two lines"),
        (KeyboardInterrupt(), "KILLED", "KeyboardInterrupt"),
        (SystemExit(143), "KILLED", "SystemExit: 143"),
        (ValueError("x" * 600), "FAILED", "ValueError: " + "x" * 487 + "…"),
    ],
)
def test_an_error_is_kept_and_goes_on(
    tmp_path: Path, error: BaseException, status: str, reason: str
) -> None:
    """The status and one line of at most 500 characters: 12 + 487 + 1."""
    with pytest.raises(type(error)), NoTracking().build(tmp_path, "a"):
        raise error
    assert {"name": "a", "status": status, "error": reason} == read_json(tmp_path / "tags.json")


def test_numbers_that_are_not_finite_come_back(tmp_path: Path) -> None:
    """NaN and infinity are measurements too."""
    with NoTracking().build(tmp_path, "a") as run:
        run.metrics({"loss/total": math.nan, "loss/ratio_mean": math.inf}, step=1)
    (line,) = read_metrics(tmp_path)
    assert math.isnan(line["loss/total"])
    assert math.inf == line["loss/ratio_mean"]


@pytest.mark.parametrize("key", ["pass@1", "", "a(b)", "/a", "a//b", "../a", "a/", "k" * 251])
def test_a_name_that_mlflow_refuses_is_refused_at_once(tmp_path: Path, key: str) -> None:
    """Not seconds later, in another thread."""
    with (
        NoTracking().build(tmp_path, "a") as run,
        pytest.raises(ValueError, match="cannot name a metric"),
    ):
        run.metrics({key: 1.0}, step=1)


def test_a_new_run_begins_with_an_empty_folder(tmp_path: Path) -> None:
    """What an earlier run left there does not mix with the new one."""
    with NoTracking().build(tmp_path, "a") as run:
        run.params({"seed": 1})
        run.metrics({"reward/mean": 1.0}, step=9)
        run.table("old", [{"a": 1}])
    with NoTracking().build(tmp_path, "a") as run:
        run.metrics({"reward/mean": 2.0}, step=1)
    assert [(1, 2.0)] == [(line["step"], line["reward/mean"]) for line in read_metrics(tmp_path)]
    assert not (tmp_path / "tables").exists()
    assert not (tmp_path / "params.json").exists()


def test_a_run_that_goes_on_keeps_the_way_to_its_checkpoint(tmp_path: Path) -> None:
    """From step 3 on the earlier attempt is dropped, its torn last line too."""
    with NoTracking().build(tmp_path, "a") as run:
        for step in range(5):
            run.metrics({"reward/mean": float(step)}, step=step)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "rew')
    with NoTracking().build(tmp_path, "a", first_step=3) as run:
        run.metrics({"reward/mean": 30.0}, step=3)
    kept = [(line["step"], line["reward/mean"]) for line in read_metrics(tmp_path)]
    assert [(0, 0.0), (1, 1.0), (2, 2.0), (3, 30.0)] == kept


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Before training, with the key to set."""
    (tmp_path / "run").write_text("in the way")
    with (
        pytest.raises(TrackingError, match=r"hydra\.run\.dir=FOLDER"),
        NoTracking().build(tmp_path / "run", "a"),
    ):
        pass
