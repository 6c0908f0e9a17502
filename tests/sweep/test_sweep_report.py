"""The table and the page that a sweep ends with."""

from dataclasses import replace

from tersely.sweep.report import Links, report_text
from tersely.sweep.result import JobResult
from tersely.sweep.table import as_markdown, differing_overrides, sweep_table

METRICS = {
    "reward/mean": 0.412,
    "reward/length": -0.05,
    "reward/length_std_within_group": 0.2,
    "reward/rouge": 0.462,
    "reward/zero_std_share": 0.0,
    "test/before/rouge_l": 0.1,
    "test/after/rouge_l": 0.4567,
    "test/after/meteor": 0.3,
    "test/after/bleu": 0.0123,
    "test/after/length_mean": 63.97,
    "test/after/within_5_share": 0.845,
}


def job(reward: str, strategy: str, *more: str) -> JobResult:
    overrides = (f"reward={reward}", f"strategy={strategy}", *more)
    return JobResult("FINISHED", overrides, reward, strategy, metrics=METRICS)


def test_a_row_has_the_numbers_of_its_job() -> None:
    """Rounded for reading; the scores are those after training."""
    assert [
        {
            "reward": "rouge",
            "strategy": "joint",
            "train reward": "0.412",
            "of which": "length -0.050, rouge 0.462",
            "ROUGE-L": "0.457",
            "METEOR": "0.300",
            "BLEU": "0.012",
            "mean length": "64.0",
            "within ±5": "84%",
            "status": "FINISHED",
        }
    ] == sweep_table([job("rouge", "joint")])


def test_rows_are_in_the_order_of_their_labels() -> None:
    """Reward, then strategy, however the jobs ended up on disk."""
    jobs = [job("rouge", "staged"), job("bleu", "staged"), job("rouge", "joint")]
    labels = [(row["reward"], row["strategy"]) for row in sweep_table(jobs)]
    assert [("bleu", "staged"), ("rouge", "joint"), ("rouge", "staged")] == labels


def test_seeds_get_a_column_when_reward_and_strategy_are_not_enough() -> None:
    """Only what differs, and 9 before 10."""
    jobs = [job("rouge", "joint", f"seed={seed}", "trainer.steps=2") for seed in (10, 9)]
    rows = sweep_table(jobs)
    assert ["9", "10"] == [row["seed"] for row in rows]
    assert "trainer.steps" not in rows[0]
    assert ["reward", "strategy", "seed", "train reward"] == list(rows[0])[:4]


def test_an_override_that_a_job_does_not_have_is_a_gap() -> None:
    """Two jobs of a folder that was used twice."""
    jobs = [job("rouge", "joint"), job("rouge", "joint", "+x=1")]
    assert ["x"] == differing_overrides(jobs)
    assert ["1", "-"] == [row["x"] for row in sweep_table(jobs)]


def test_reward_and_strategy_alone_need_no_more_columns() -> None:
    """Other overrides may differ without being what the sweep is about."""
    jobs = [job("rouge", "joint", "seed=1"), job("bleu", "joint", "seed=2")]
    assert [] == differing_overrides(jobs)


def test_a_job_without_numbers_has_gaps() -> None:
    """It failed before there were any."""
    (row,) = sweep_table([JobResult("FAILED", (), "rouge", "joint")])
    assert ["-"] * 7 == list(row.values())[2:9]
    assert "FAILED" == row["status"]


def test_the_table_is_padded_markdown() -> None:
    """Words to the left, numbers to the right, and a gap counts as a number."""
    rows = [{"reward": "meteor_rouge", "BLEU": "0.012"}, {"reward": "bleu", "BLEU": "-"}]
    assert (
        "| reward       |  BLEU |\n"
        "| ------------ | ----: |\n"
        "| meteor_rouge | 0.012 |\n"
        "| bleu         |     - |"
    ) == as_markdown(rows)


def test_the_report_of_a_sweep_without_failures() -> None:
    """Headline, table, and how to see the runs."""
    links = Links("mlflow ui", "http://127.0.0.1:5000/#/compare-runs")
    text = report_text("night", [job("rouge", "joint"), job("bleu", "joint")], links)
    assert text.startswith("# Sweep night\n\n2 jobs, all finished.\n\n| reward")
    assert "## Failed" not in text
    assert text.endswith(
        "## In MLflow\n\n```\nmlflow ui\n```\n\n"
        "Side by side: http://127.0.0.1:5000/#/compare-runs\n"
    )


def test_the_report_names_the_command_for_the_full_one() -> None:
    """It is read by its sweep's name."""
    text = report_text("night", [job("rouge", "joint")], None)
    assert "`python report.py sweep=night`" in text


def test_the_report_lists_failed_jobs_with_their_reason() -> None:
    """By the overrides that would run them again."""
    failed = JobResult("FAILED", ("reward=meteor", "seed=1"), "meteor", error="no WordNet")
    text = report_text("night", [job("rouge", "joint"), failed], None)
    assert "2 jobs, 1 failed." in text
    assert "## Failed\n\n- reward=meteor seed=1: no WordNet\n" in text
    assert "MLflow" not in text


def test_the_report_lists_the_jobs_that_have_not_begun() -> None:
    """By the same, and they are not among those that finished."""
    jobs = [job("rouge", "joint"), job("bleu", "joint")]
    text = report_text("night", jobs, None, [("reward=bleu", "seed=1"), ()])
    assert "2 jobs finished. Not begun: 2." in text
    assert "## Not begun\n\n- reward=bleu seed=1\n- default\n" in text


def test_a_sweep_that_left_nothing_says_so() -> None:
    """No table without rows."""
    assert "# Sweep night\n\nNo job left a result.\n" == report_text("night", [], None)


def test_a_judged_sweep_has_what_the_judge_found() -> None:
    """Missing verdicts take a column where there are any; a job that was not judged has no
    number."""
    found = {"test/after/judge/composite_sum": 2.5, "test/after/judge/pass_rate": 0.5}
    judged = replace(job("rouge", "joint"), metrics={**METRICS, **found})
    rows = sweep_table([judged, job("rouge", "staged")])
    assert [("2.500", "50%"), ("-", "-")] == [(r["composite"], r["pass rate"]) for r in rows]
    assert "missing" not in rows[0]

    short = replace(judged, metrics={**judged.metrics, "test/after/judge/missing": 4.0})
    assert "4" == sweep_table([short])[0]["missing"]
