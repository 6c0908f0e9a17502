"""More of a run that has ended, found by its folder or its id."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tersely.errors import ModelError, TrackingError
from tersely.tracking import MlflowTracking, NoTracking, TrackingConfig
from tersely.tracking.folder_run import read_metrics
from tersely.tracking.store import prepare_store


def leave_run(tracking: TrackingConfig, folder: Path, checkpoint: bool = True) -> str | None:
    """A run as train.py leaves it, in small."""
    with tracking.build(folder, "rouge joint", {"sweep": "s"}) as run:
        (folder / "config.yaml").write_text("seed: 3\n")
        run.artifact(folder / "config.yaml")
        run.params({"data": "generated", "prompt": "plain"})
        run.tags({"folder": str(folder), "data_fingerprint": "abc"})
        run.table("summaries_after", [{"id": "a"}])
        if checkpoint:
            final = folder / "checkpoints" / "final"
            final.mkdir(parents=True)
            (final / "config.json").write_text("{}")
            run.tags({"checkpoint": str(final)})
            run.artifact(final, "checkpoints")
        run.metrics({"test/after/rouge_l": 0.5}, step=0)
    (folder / "result.json").write_text(json.dumps({"run_id": run.run_id}))
    return run.run_id


def stored(tracking: MlflowTracking, run_id: str | None) -> Any:
    assert run_id is not None
    return prepare_store(tracking).client.get_run(run_id)


def tables(tracking: MlflowTracking, run_id: str | None) -> list[str]:
    marks = json.loads(stored(tracking, run_id).data.tags["mlflow.loggedArtifacts"])
    return [mark["path"] for mark in marks]


def test_a_run_is_found_by_its_folder_and_by_its_id(
    tracking: MlflowTracking, tmp_path: Path
) -> None:
    """The same run either way."""
    folder = tmp_path / "run"
    run_id = leave_run(tracking, folder)
    assert run_id is not None
    for found in (tracking.find(str(folder)), tracking.find(run_id)):
        assert (run_id, folder, "seed: 3\n") == (found.run_id, found.folder, found.config)
        assert ("generated", "plain") == (found.choices["data"], found.choices["prompt"])
        assert ("FINISHED", "abc") == (found.status, found.data_fingerprint)
        assert folder / "checkpoints" / "final" == found.weights()


def test_a_run_whose_folder_is_gone_is_read_from_the_store(
    tracking: MlflowTracking, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    run_id = leave_run(tracking, folder)
    assert run_id is not None
    shutil.rmtree(folder)
    found = tracking.find(run_id)
    assert found.folder is None
    assert "seed: 3\n" == found.config
    assert (found.weights() / "config.json").is_file()

    with tracking.join(found, tmp_path / "here") as run:
        run.table("eval/test/plain/summaries", [{"id": "a"}])
    assert (tmp_path / "here" / "tables" / "eval" / "test" / "plain" / "summaries.jsonl").is_file()


def test_a_run_without_a_checkpoint_says_so(tracking: MlflowTracking, tmp_path: Path) -> None:
    run_id = leave_run(tracking, tmp_path / "run", checkpoint=False)
    assert run_id is not None
    for name in (run_id, str(tmp_path / "run")):
        with pytest.raises(ModelError, match=r"FINISHED.*has no checkpoint"):
            tracking.find(name).weights()


@pytest.mark.parametrize("choice", ["mlflow", "none"])
def test_what_is_no_run_is_refused(choice: str, tracking: MlflowTracking, tmp_path: Path) -> None:
    where = tracking if choice == "mlflow" else NoTracking()
    with pytest.raises(TrackingError, match="is not the folder of a run"):
        where.find(str(tmp_path))
    with pytest.raises(TrackingError, match="run=nowhere is n"):
        where.find("nowhere")


def test_what_is_added_stands_beside_what_was_there(
    tracking: MlflowTracking, tmp_path: Path
) -> None:
    """In the folder and in the store: metrics, tables, artifacts; name, status, tags stay."""
    folder = tmp_path / "run"
    run_id = leave_run(tracking, folder)
    before, tags = stored(tracking, run_id), (folder / "tags.json").read_text()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.yaml").write_text("split: test\n")

    with tracking.join(tracking.find(str(folder)), tmp_path / "other") as run:
        assert run_id == run.run_id
        run.metrics({"eval/test/plain/rouge_l": 0.25}, step=0)
        run.table("eval/test/plain/summaries", [{"id": "a"}])
        run.artifact(tmp_path / "other" / "config.yaml", "eval/test/plain")

    after = stored(tracking, run_id)
    assert {"test/after/rouge_l": 0.5, "eval/test/plain/rouge_l": 0.25} == after.data.metrics
    assert before.info.end_time == after.info.end_time
    assert ("FINISHED", "rouge joint") == (after.info.status, after.info.run_name)
    assert ["tables/summaries_after.json", "tables/eval/test/plain/summaries.json"] == tables(
        tracking, run_id
    )
    assert tags == (folder / "tags.json").read_text()
    assert [0.5, 0.25] == [list(line.values())[-1] for line in read_metrics(folder)]
    assert (folder / "tables" / "summaries_after.jsonl").is_file()
    artifacts = Path(after.info.artifact_uri.removeprefix("file://"))
    for place in (artifacts, folder / "artifacts"):
        assert "split: test\n" == (place / "eval" / "test" / "plain" / "config.yaml").read_text()
    assert "seed: 3\n" == (folder / "config.yaml").read_text()


def test_a_failure_while_adding_leaves_the_run_finished(
    tracking: MlflowTracking, tmp_path: Path
) -> None:
    """An evaluation that fails or is stopped says nothing about the training before it."""
    folder = tmp_path / "run"
    run_id = leave_run(tracking, folder)
    for error in (ValueError("broken"), KeyboardInterrupt()):
        with (
            pytest.raises(type(error)),
            tracking.join(tracking.find(str(folder)), folder) as run,
        ):
            run.metrics({"eval/test/plain/rouge_l": 0.25}, step=0)
            raise error
    found = stored(tracking, run_id)
    assert "FINISHED" == found.info.status
    assert "error" not in found.data.tags
    assert 0.25 == found.data.metrics["eval/test/plain/rouge_l"]
    tags = json.loads((folder / "tags.json").read_text())
    assert ("FINISHED", False) == (tags["status"], "error" in tags)


def test_a_run_of_another_store_is_refused(tracking: MlflowTracking, tmp_path: Path) -> None:
    """Its folder alone can be added to, with tracking=none."""
    folder = tmp_path / "run"
    leave_run(tracking, folder)
    (folder / "result.json").write_text(json.dumps({"run_id": "0" * 32}))
    found = tracking.find(str(folder))
    with pytest.raises(TrackingError, match="tracking=none"), tracking.join(found, folder):
        pass
    with NoTracking().join(found, folder) as run:
        run.metrics({"eval/test/plain/rouge_l": 0.25}, step=0)
    assert 2 == len(read_metrics(folder))


def test_a_run_that_no_store_has_seen_is_added_to_in_its_folder(
    tracking: MlflowTracking, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    leave_run(NoTracking(), folder)
    with tracking.join(tracking.find(str(folder)), folder) as run:
        assert run.run_id is None
        run.metrics({"eval/test/plain/rouge_l": 0.25}, step=0)
    assert 2 == len(read_metrics(folder))


def test_a_line_that_a_crash_cut_short_is_dropped_before_more_is_added(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    leave_run(NoTracking(), folder)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 0, "mill')
    with NoTracking().join(NoTracking().find(str(folder)), folder) as run:
        run.metrics({"eval/test/plain/rouge_l": 0.25}, step=0)
    assert [0.5, 0.25] == [list(line.values())[-1] for line in read_metrics(folder)]


def test_the_same_evaluation_again_adds_no_point_and_no_table(
    tracking: MlflowTracking, tmp_path: Path
) -> None:
    """The first was killed before the store had its points: they are there after the second."""
    folder = tmp_path / "run"
    run_id = leave_run(tracking, folder)
    assert run_id is not None
    files = NoTracking().join(tracking.find(str(folder)), folder)
    with files as run:
        run.metrics({"eval/test/plain/rouge_l": 0.25}, step=0)
    for _ in range(2):
        with tracking.join(tracking.find(str(folder)), folder) as run:
            run.metrics({"eval/test/plain/rouge_l": 0.25}, step=0)
            run.table("eval/test/plain/summaries", [{"id": "a"}])
    client = prepare_store(tracking).client
    assert 1 == len(client.get_metric_history(run_id, "eval/test/plain/rouge_l"))
    assert 2 == len(read_metrics(folder))
    assert ["tables/summaries_after.json", "tables/eval/test/plain/summaries.json"] == tables(
        tracking, run_id
    )
