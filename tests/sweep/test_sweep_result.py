"""What a job leaves for the report."""

import json
from pathlib import Path

from tersely.sweep.result import REFUSED, JobResult, final_rewards, read_result, read_results
from tersely.tracking import NoTracking


def test_a_result_comes_back(tmp_path: Path) -> None:
    """As it was written, and nothing half-written stays beside it."""
    result = JobResult(
        "FINISHED", ("reward=rouge",), "rouge", "joint", "tiny", 3, "id", {"a": 0.5}, None, 1.5
    )
    result.write(tmp_path)
    assert result == read_result(tmp_path)
    assert ["result.json"] == [file.name for file in tmp_path.iterdir()]


def test_more_keys_do_no_harm(tmp_path: Path) -> None:
    """A run may tell more of itself than the table shows, and a crashed one less."""
    values = {"status": "FAILED", "overrides": ["seed=1"], "data": "generated"}
    (tmp_path / "result.json").write_text(json.dumps(values))
    assert JobResult("FAILED", ("seed=1",)) == read_result(tmp_path)


def test_the_jobs_of_a_sweep_are_its_sub_folders_with_a_result(tmp_path: Path) -> None:
    """Other folders are not jobs."""
    for name in ("b", "a", "empty"):
        (tmp_path / name).mkdir()
    JobResult("FINISHED", reward="rouge").write(tmp_path / "a")
    JobResult("FAILED", reward="bleu").write(tmp_path / "b")
    assert ["rouge", "bleu"] == [result.reward for result in read_results(tmp_path)]


def test_the_final_reward_is_the_mean_of_the_last_five_steps(tmp_path: Path) -> None:
    """Steps 3 to 7 of 0 to 7: (3+4+5+6+7)/5 = 5; the length stage before them is left out."""
    with NoTracking().build(tmp_path, "a") as run:
        run.metrics({"test/before/rouge_l": 0.2}, step=0)
        run.metrics({"reward/mean": -9.0, "reward/length": -9.0}, step=0)
        for step in range(1, 8):
            run.metrics({"reward/mean": float(step), "reward/rouge": step / 10}, step)
    rewards = final_rewards(tmp_path)
    assert ["reward/mean", "reward/rouge"] == list(rewards)
    assert 5.0 == rewards["reward/mean"]
    assert abs(rewards["reward/rouge"] - 0.5) < 1e-12
    JobResult("FINISHED", metrics={"test/after/bleu": 0.1}).write(tmp_path)
    assert {**rewards, "test/after/bleu": 0.1} == read_result(tmp_path).metrics


def test_a_run_without_training_has_no_final_reward(tmp_path: Path) -> None:
    """It failed before its first step."""
    assert {} == final_rewards(tmp_path)


def test_short_stages_do_not_mix_in_the_final_reward(tmp_path: Path) -> None:
    """Two steps on length at -0.4, two on ROUGE at 0.6: the end is 0.6, not their mean 0.1."""
    with NoTracking().build(tmp_path, "a") as run:
        for step in (1, 2):
            run.metrics({"reward/mean": -0.4, "reward/length": -0.4}, step)
        for step in (3, 4):
            run.metrics({"reward/mean": 0.6, "reward/rouge": 0.6}, step)
    assert {"reward/mean": 0.6, "reward/rouge": 0.6} == final_rewards(tmp_path)


def test_a_result_that_was_cut_short_counts_as_missing(tmp_path: Path) -> None:
    """The report is on the others."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        JobResult("FINISHED", reward=name).write(tmp_path / name)
    (tmp_path / "a" / "result.json").write_text('{"status": "FIN')
    assert read_result(tmp_path / "a") is None
    assert ["b"] == [result.reward for result in read_results(tmp_path)]


def test_a_job_that_was_refused_counts_as_that(tmp_path: Path) -> None:
    """What the run has left whose folder it is stays beside it, its final reward too."""
    with NoTracking().build(tmp_path / "a", "a") as run:
        run.metrics({"reward/mean": 0.5}, step=1)
    JobResult("FINISHED").write(tmp_path / "a")
    JobResult("FAILED", error="another").write(tmp_path / "a", REFUSED)
    assert [("FAILED", {})] == [(each.status, each.metrics) for each in read_results(tmp_path)]
    found = read_result(tmp_path / "a")
    assert found is not None and found.finished
    assert {"reward/mean": 0.5} == found.metrics
