"""A run as plain files."""

import json
import math
import os
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


def test_a_run_that_goes_on_writes_no_step_twice(tmp_path: Path) -> None:
    """Steps 0 to 4 are kept but for the torn last line; 3 and 4 are given again and not written,
    a new metric of step 4 is, and step 5."""
    with NoTracking().build(tmp_path, "a") as run:
        for step in range(5):
            run.metrics({"reward/mean": float(step)}, step=step)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "rew')
    with NoTracking().build(tmp_path, "a", goes_on=True) as run:
        for step in (3, 4, 5):
            run.metrics({"reward/mean": 10.0 * step}, step=step)
        run.metrics({"reward/mean": 40.0, "policy/entropy": 2.0}, step=4)
    kept = [
        (line["step"], key, line[key])
        for line in read_metrics(tmp_path)
        for key in line
        if "/" in key
    ]
    reward = [(step, "reward/mean", float(step)) for step in range(5)]
    assert [*reward, (5, "reward/mean", 50.0), (4, "policy/entropy", 2.0)] == kept


def test_of_step_0_only_what_has_changed_is_written_again(tmp_path: Path) -> None:
    """Results: the same one stays, not a number too, and another one takes its place."""
    found = {"test/after/rouge_l": 0.5, "test/after/judge/missing": 3.0, "loss/total": math.nan}
    with NoTracking().build(tmp_path, "a") as run:
        run.metrics(found, step=0)
    for _ in range(2):
        with NoTracking().build(tmp_path, "a", goes_on=True) as run:
            run.metrics({**found, "test/after/judge/missing": 0.0}, step=0)
    first, second = read_metrics(tmp_path)
    assert 3.0 == first["test/after/judge/missing"]
    assert {"step", "milliseconds", "test/after/judge/missing"} == set(second)
    assert 0.0 == second["test/after/judge/missing"]


def test_a_clock_that_is_set_back_makes_no_point_older(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within an attempt and between two."""
    for hour in (3, 2, 1):
        with NoTracking().build(tmp_path, "a", goes_on=True) as run:
            monkeypatch.setattr("time.time_ns", lambda hour=hour: hour * 3600 * 10**9)
            run.metrics({"reward/mean": 1.0}, step=hour)
    assert [10_800_000, 10_800_001, 10_800_002] == [
        line["milliseconds"] for line in read_metrics(tmp_path)
    ]


def test_tags_and_parameters_come_back_but_for_the_end(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="broken"),
        NoTracking().build(tmp_path, "a", {"sweep": "s"}) as run,
    ):
        run.params({"seed": 3})
        run.tags({"data": "abc"})
        raise ValueError("broken")
    with NoTracking().build(tmp_path, "a", goes_on=True) as run:
        run.params({"beta": 0.1})
    assert {"seed": 3, "beta": 0.1} == read_json(tmp_path / "params.json")
    assert {"name": "a", "status": "FINISHED", "sweep": "s", "data": "abc"} == read_json(
        tmp_path / "tags.json"
    )


def test_what_a_crash_has_broken_is_said_and_counts_as_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Tags and parameters cut short, a line of zeros among the metrics."""
    for name in ("tags.json", "params.json"):
        (tmp_path / name).write_text('{"seed": ')
    line = '{"step": 1, "milliseconds": 5, "reward/mean": 1.0}\n'
    (tmp_path / "metrics.jsonl").write_text("\0\0\n" + line)
    with NoTracking().build(tmp_path, "a", goes_on=True):
        pass
    assert [1.0] == [each["reward/mean"] for each in read_metrics(tmp_path)]
    assert {"name": "a", "status": "FINISHED"} == read_json(tmp_path / "tags.json")
    for words in ("tags.json cannot be read", "params.json cannot be read", "1 lines of"):
        assert words in caplog.text


@pytest.mark.parametrize(
    "broken", [b'{"step": 2, "rew\n', b"\0\0\n", b"\xff\n", b"[1]\n", b'{"step": 2}\n']
)
def test_a_broken_line_of_metrics_is_left_out_and_said(
    broken: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever reads a run that nobody goes on with. The file stays as it is."""
    first, last = (
        b'{"step": %d, "milliseconds": 5, "reward/mean": 1.0}\n' % step for step in (1, 3)
    )
    (tmp_path / "metrics.jsonl").write_bytes(first + broken + last + b'{"step": 4, "mil')
    assert [1, 3] == [line["step"] for line in read_metrics(tmp_path)]
    assert f"1 lines of {tmp_path / 'metrics.jsonl'} cannot be read" in caplog.text
    assert (tmp_path / "metrics.jsonl").read_bytes().startswith(first + broken + last)


def test_metrics_are_on_the_disk_when_their_step_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint, which is, would be newer than they are after a power cut. So is the name of
    the file."""
    synced: dict[int, int] = {}
    """Inode to size."""

    def note(number: int) -> None:
        synced[os.fstat(number).st_ino] = os.fstat(number).st_size

    monkeypatch.setattr(os, "fsync", note)
    with NoTracking().build(tmp_path, "a") as run:
        assert tmp_path.stat().st_ino in synced
        for step in (1, 2):
            run.metrics({"reward/mean": 1.0}, step)
            written = (tmp_path / "metrics.jsonl").stat()
            assert 0 < written.st_size == synced[written.st_ino]


def test_a_full_disk_is_a_paragraph_and_hides_no_other_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here a folder stands where the tags should go. What failed first goes on."""
    run = NoTracking().build(tmp_path, "a")
    with pytest.raises(TrackingError, match="make room"), run:
        (tmp_path / "tags.json").unlink()
        (tmp_path / "tags.json").mkdir()
        run.tags({"a": "b"})
    with (
        pytest.raises(ValueError, match="first") as caught,
        NoTracking().build(tmp_path / "b", "b"),
    ):
        (tmp_path / "b" / "tags.json").unlink()
        (tmp_path / "b" / "tags.json").mkdir()
        raise ValueError("first")
    assert "cannot be written" in caught.value.__notes__[0]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Before training, with the key to set."""
    (tmp_path / "run").write_text("in the way")
    with (
        pytest.raises(TrackingError, match=r"hydra\.run\.dir=FOLDER"),
        NoTracking().build(tmp_path / "run", "a"),
    ):
        pass
