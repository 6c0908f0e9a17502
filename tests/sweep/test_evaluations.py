"""The page that a sweep of evaluations ends with."""

from tersely.sweep.evaluations import evaluation_table, evaluations_text
from tersely.sweep.result import JobResult

METRICS = {
    "rouge_l": 0.4567,
    "meteor": 0.3,
    "bleu": 0.0123,
    "length_mean": 63.97,
    "within_5_share": 0.845,
    "judge/composite_sum": 2.5,
    "judge/pass_rate": 0.5,
    "judge/missing": 3.0,
}


def evaluation(prompt: str) -> JobResult:
    metrics = {f"eval/test/{prompt}/{key}": value for key, value in METRICS.items()}
    return JobResult("FINISHED", ("model=tiny", f"prompt={prompt}"), metrics=metrics)


def test_a_row_has_what_differs_and_what_was_measured() -> None:
    """The model is the same in both and takes no column."""
    first, second = evaluation_table([evaluation("plain"), evaluation("fifty_words")])
    assert {
        "prompt": "plain",
        "ROUGE-L": "0.457",
        "METEOR": "0.300",
        "BLEU": "0.012",
        "composite": "2.500",
        "pass rate": "50%",
        "missing": "3",
        "mean length": "64.0",
        "within ±5": "84%",
        "status": "FINISHED",
    } == first
    assert "fifty_words" == second["prompt"]


def test_what_was_not_measured_has_no_number() -> None:
    failed = JobResult("FAILED", ("prompt=plain",), error="ModelError: no")
    _, row = evaluation_table([evaluation("fifty_words"), failed])
    assert {"-"} == {value for key, value in row.items() if key not in ("prompt", "status")}


def test_the_page_names_what_failed() -> None:
    failed = JobResult("FAILED", ("prompt=plain",), error="ModelError: no")
    text = evaluations_text("s", [evaluation("fifty_words"), failed], None)
    assert "2 jobs, 1 failed." in text
    assert "- prompt=plain: ModelError: no" in text
