"""Which runs a report is on: from folders, from the store, and never the wrong ones."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from written_runs import row, write_run

from tersely.analysis.collect import collect, sweep_folder
from tersely.analysis.config import ReportConfig
from tersely.analysis.runs import pairing_key, read_run
from tersely.errors import ConfigError, DataError
from tersely.tracking import MlflowTracking, NoTracking


def test_a_sweep_is_read_from_its_folder(tmp_path: Path) -> None:
    """With runs that failed, and without what is no run: a job that never opened its tracker."""
    sweep = tmp_path / "multirun" / "night"
    write_run(sweep / "a", [0.5, 0.75], seed=1)
    write_run(sweep / "b", [], error=RuntimeError("no"))
    (sweep / "c").mkdir()
    (sweep / "c" / "result.json").write_text("{}")
    config = ReportConfig(sweep="night", folder=str(tmp_path / "multirun"), tracking=NoTracking())

    finished, failed = collect(config)

    assert sweep == sweep_folder(config)
    assert (True, False) == (finished.finished, failed.finished)
    assert (1, 64, "rouge joint seed 1") == (finished.seed, finished.target, finished.name)
    assert [0.5, 0.75] == [each["judge/coverage"] for each in finished.after.values()]
    assert {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4} == finished.series["reward/mean"]
    assert "time/sampling" not in finished.series


def test_a_sweep_may_be_a_path(tmp_path: Path) -> None:
    """As a person completes it in a shell."""
    write_run(tmp_path / "night" / "a", [0.5])
    assert 1 == len(collect(ReportConfig(sweep=str(tmp_path / "night"), tracking=NoTracking())))


def test_what_the_store_has_is_what_the_folder_has(
    tmp_path: Path, tracking: MlflowTracking
) -> None:
    """A run read from MLflow alone, its folder being gone, is the same run."""
    folder = tmp_path / "run"
    write_run(folder, [0.5, None], before=[0.1, 0.2], tracking=tracking, tags={"sweep": "night"})
    here = read_run(folder)
    shutil.rmtree(folder)

    (stored,) = collect(ReportConfig(sweep="night", folder=str(tmp_path), tracking=tracking))

    for field in ("run_id", "params", "before", "after", "verdicts", "series"):
        assert getattr(here, field) == getattr(stored, field), field
    assert here.tags == stored.tags


def test_an_experiment_has_only_runs_that_were_trained(
    tmp_path: Path, tracking: MlflowTracking
) -> None:
    """Reports and evaluations are kept beside them."""
    trained = write_run(tmp_path / "a", [0.5], tracking=tracking)
    write_run(tmp_path / "b", [0.5], tracking=tracking, tags={"kind": "evaluation"})
    write_run(tmp_path / "c", [0.5], tracking=tracking, tags={"kind": "report"})
    runs = collect(ReportConfig(experiment_name="tersely", tracking=tracking))
    assert [trained] == [run.run_id for run in runs]


def test_a_folder_that_a_later_run_has_is_not_read_for_the_earlier(
    tmp_path: Path, tracking: MlflowTracking
) -> None:
    """The store still has what the earlier one wrote."""
    first = write_run(tmp_path / "run", [0.25], tracking=tracking)
    second = write_run(tmp_path / "run", [0.75], tracking=tracking)
    assert first and second
    runs = collect(ReportConfig(runs=[first, second], tracking=tracking))
    scores = [row["judge/clarity"] for run in runs for row in run.after.values()]
    assert [0.25, 0.75] == scores


def test_an_evaluation_stands_for_the_summaries_after_training(tmp_path: Path) -> None:
    """By its name; a run without it has no summaries."""
    write_run(tmp_path / "a", [0.5])
    place = tmp_path / "a" / "tables" / "eval" / "test" / "plain"
    place.mkdir(parents=True)
    (place / "summaries.jsonl").write_text(json.dumps(row(0, 0.875, 64, True)) + "\n")

    ((found,),) = (read_run(tmp_path / "a", name).after.values() for name in ["test/plain"])
    assert 0.875 == found["judge/coverage"]
    assert {} == read_run(tmp_path / "a", "test/other").after
    (own,) = read_run(tmp_path / "a").after.values()
    assert 0.5 == own["judge/coverage"]


def test_a_policy_that_was_only_evaluated_has_its_only_evaluation(tmp_path: Path) -> None:
    """A zero-shot baseline can stand beside runs."""
    write_run(tmp_path / "a", [0.5])
    tables = tmp_path / "a" / "tables"
    (tables / "eval" / "test").mkdir(parents=True)
    (tables / "summaries_after.jsonl").rename(tables / "eval" / "test" / "summaries.jsonl")
    assert read_run(tmp_path / "a").finished


def test_the_same_id_of_another_post_does_not_pair() -> None:
    """Two data sources may count alike."""
    one, other = ({"id": "1", "post": post} for post in ("a", "b"))
    assert pairing_key(one) == pairing_key({**one, "summary": "x"})
    assert pairing_key(one) != pairing_key(other)


def test_several_summaries_of_a_post_are_refused(tmp_path: Path) -> None:
    """They are no independent examples."""
    write_run(tmp_path / "a", [0.5])
    table = tmp_path / "a" / "tables" / "summaries_after.jsonl"
    table.write_text(table.read_text() * 2)
    with pytest.raises(DataError, match=r"decoding\.samples=1"):
        read_run(tmp_path / "a")


def test_a_broken_run_is_named(tmp_path: Path) -> None:
    """Leaving it out in silence would be another comparison."""
    write_run(tmp_path / "a", [0.5])
    (tmp_path / "a" / "tables" / "summaries_after.jsonl").write_text('{"id": "post')
    with pytest.raises(DataError, match=r"a cannot be read back \(JSONDecodeError"):
        collect(ReportConfig(runs=[str(tmp_path / "a")], tracking=NoTracking()))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"sweep": "nowhere"}, "the sweep 'nowhere' has no training runs"),
        ({"experiment_name": "nowhere"}, "no experiment 'nowhere'; it has Default, empty"),
        ({"runs": ["0123"]}, "neither a run's folder nor a run in the MLflow store"),
    ],
)
def test_what_is_not_there_is_said(
    asked: dict[str, object], said: str, tracking: MlflowTracking, tmp_path: Path
) -> None:
    """And an experiment is not made by asking for it."""
    config = ReportConfig(**asked, folder=str(tmp_path), tracking=tracking)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=said):
        collect(config)
    with pytest.raises(DataError, match=said):
        collect(config)


def test_without_a_store_a_sweep_has_to_be_a_folder(tmp_path: Path) -> None:
    """It says where it looked."""
    config = ReportConfig(sweep="x", folder=str(tmp_path), tracking=NoTracking())
    with pytest.raises(DataError, match=f"there is no sweep x in {tmp_path}"):
        collect(config)


def test_runs_that_all_failed_are_nothing_to_compare(tmp_path: Path) -> None:
    """An empty report would look like a result."""
    write_run(tmp_path / "a", [], error=RuntimeError("no"))
    with pytest.raises(DataError, match="none of the 1 runs is finished"):
        collect(ReportConfig(runs=[str(tmp_path / "a")], tracking=NoTracking()))


def test_a_report_is_asked_for_in_one_way() -> None:
    """Neither none nor two, and an experiment needs a store."""
    with pytest.raises(ConfigError, match="nothing says which"):
        ReportConfig(tracking=NoTracking())
    with pytest.raises(ConfigError, match="sweep and published are given"):
        ReportConfig(sweep="x", published=True, tracking=NoTracking())
    with pytest.raises(ConfigError, match="tracking=none has no store"):
        replace(ReportConfig(experiment_name="x", tracking=MlflowTracking()), tracking=NoTracking())


def evaluate(folder: Path, name: str, score: float) -> None:
    """What evaluate.py leaves in a run's folder."""
    place = folder / "tables" / "eval" / name
    place.mkdir(parents=True)
    (place / "summaries.jsonl").write_text(json.dumps(row(0, score, 64, True)) + "\n")


def test_a_run_whose_judge_failed_counts_by_its_evaluation(
    tmp_path: Path, tracking: MlflowTracking
) -> None:
    """From its folder and from the store; its own end is no result."""
    error = RuntimeError("the judge is not there")
    write_run(tmp_path / "a", [], error=error, tracking=tracking, tags={"sweep": "night"})
    evaluate(tmp_path / "a", "test/plain", 0.875)
    for asked in ({"runs": [str(tmp_path / "a")]}, {"sweep": "night"}):
        config = ReportConfig(
            **asked,  # type: ignore[arg-type]
            evaluation="test/plain",
            folder=str(tmp_path / "nowhere"),
            tracking=tracking,
        )
        (run,) = collect(config)
        assert run.finished
        assert [0.875] == [each["judge/clarity"] for each in run.after.values()]
    assert not read_run(tmp_path / "a").finished


def test_a_wrong_evaluation_is_answered_with_those_that_there_are(tmp_path: Path) -> None:
    """Also where none is asked for and there are several."""
    write_run(tmp_path / "a", [0.5])
    runs = [str(tmp_path / "a")]
    wrong = ReportConfig(runs=runs, evaluation="test/plane", tracking=NoTracking())
    with pytest.raises(
        DataError, match=r"test/plane, .* run `python evaluate\.py run=\.\.\.` first"
    ):
        collect(wrong)
    for name in ("test/plain", "test/other"):
        evaluate(tmp_path / "a", name, 0.5)
    with pytest.raises(DataError, match="that there are: test/other, test/plain"):
        collect(wrong)
    (tmp_path / "a" / "tables" / "summaries_after.jsonl").unlink()
    with pytest.raises(DataError, match=r"end of training.* there are: test/other, test/plain"):
        collect(ReportConfig(runs=runs, tracking=NoTracking()))
