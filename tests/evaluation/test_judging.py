"""What a judge is given, and where its verdicts go; a judge that says what it was told to."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tersely.errors import JudgeError
from tersely.evaluation.judges.verdicts import METRICS, Judged, Verdict, Verdicts
from tersely.evaluation.judging import judge_and_keep, judge_summaries, judged_metrics
from tersely.evaluation.scores import SummaryScores
from tersely.evaluation.summaries import Summary
from tersely.records import Example, Fact
from tersely.tracking.folder_run import FolderRun

FACTS = (Fact("who", ("my zebra",)),)
EXAMPLES = [Example("a", "post a", ("ref",), facts=FACTS), Example("b", "post b", ("ref",))]
SCORES = [
    SummaryScores(Summary(example, f"of {example.id}", 3, True), {}, {}) for example in EXAMPLES
]


class Saying:
    """Gives the scores that it was made with: id and metric to one score a round."""

    name = "saying"
    metrics: tuple[str, ...] = METRICS

    def __init__(self, scores: dict[tuple[str, str], list[float | None]]) -> None:
        self.scores = scores
        self.asked: list[Judged] = []

    def judge(self, items: Sequence[Judged]) -> Verdicts:
        self.asked += items
        return Verdicts(
            tuple(
                Verdict(id, metric, round, score, "because", self.name)
                for (id, metric), rounds in self.scores.items()
                for round, score in enumerate(rounds)
            )
        )


def saying(**of_id: list[list[float | None]]) -> Saying:
    """Ids to the rounds of each of the four metrics."""
    return Saying(
        {
            (id, metric): rounds
            for id, per_metric in of_id.items()
            for metric, rounds in zip(METRICS, per_metric, strict=True)
        }
    )


def test_a_judge_is_given_post_summary_and_facts() -> None:
    judge = saying()
    judge_summaries(judge, SCORES)
    assert [Judged("a", "post a", "of a", FACTS), Judged("b", "post b", "of b")] == judge.asked


def test_samples_of_a_post_are_judged_apart() -> None:
    """The first has the example's own id, so that its verdicts join with greedy ones."""
    samples = [
        SummaryScores(Summary(EXAMPLES[0], text, 1, True, sample), {}, {})
        for sample, text in enumerate(("x", "y"))
    ]
    judge = Saying({("a", "clarity"): [1.0], ("a#1", "clarity"): [0.5]})
    judged, _ = judge_summaries(judge, samples)
    assert ["a", "a#1"] == [item.id for item in judge.asked]
    assert [{"clarity": 1.0}, {"clarity": 0.5}] == [each.judged for each in judged]


def test_composites_leave_out_who_lacks_a_metric() -> None:
    """a: means of two rounds 0.75, 0.5, 1, 0.25, sum 2.5, mean 0.625. b has no coverage: its
    other metrics count (faithfulness (0.75 + 0.25) / 2 = 0.5), its composite does not exist.

    Rounds of a: (1, .5, 1, 0) and (.5, .5, 1, .5); the second passes at 0.5, so 1/2. Both rounds
    of b lack a metric and are left out."""
    judge = saying(
        a=[[1.0, 0.5], [0.5, 0.5], [1.0, 1.0], [0.0, 0.5]],
        b=[[0.25, 0.25], [None, None], [1.0, 1.0], [0.5, 0.5]],
    )
    judged, verdicts = judge_summaries(judge, SCORES)
    metrics = judged_metrics(judged, verdicts)
    assert 2.5 == metrics["judge/composite_sum"]
    assert 0.625 == metrics["judge/composite_mean"]
    assert 0.5 == metrics["judge/faithfulness"]
    assert 0.5 == metrics["judge/coverage"]
    assert 0.5 == metrics["judge/pass_rate"]
    assert 2.0 == metrics["judge/missing"]


def test_no_complete_summary_no_composite() -> None:
    """Not 0."""
    judged, verdicts = judge_summaries(saying(a=[[None], [1.0], [1.0], [1.0]]), SCORES)
    metrics = judged_metrics(judged, verdicts)
    assert not {"judge/composite_sum", "judge/composite_mean", "judge/pass_rate"} & set(metrics)
    assert 1.0 == metrics["judge/missing"]


def kept(folder: Path, table: str) -> list[dict[str, object]]:
    lines = (folder / "tables" / f"{table}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def keep(judge: Saying, folder: Path) -> dict[str, float]:
    with FolderRun(folder, "run", {}) as tracker:
        return judge_and_keep(
            judge, SCORES, tracker, when="after", summaries="summaries", verdicts="verdicts"
        )


def test_tables_have_the_judged_columns_and_every_verdict(tmp_path: Path) -> None:
    judge = saying(a=[[1.0, None], [0.5, 0.5], [1.0, 1.0], [0.0, 0.5]])
    metrics = keep(judge, tmp_path)
    first, second = kept(tmp_path, "summaries")
    assert (1.0, 0.5) == (first["judge/faithfulness"], first["judge/coverage"])
    assert "judge/coverage" not in second
    verdicts = kept(tmp_path, "verdicts")
    assert 8 == len(verdicts)
    assert {
        "id": "a",
        "metric": "faithfulness",
        "round": 1,
        "score": None,
        "reason": "because",
        "judge": "saying",
        "cached": False,
    } == verdicts[1]
    assert 1.0 == metrics["judge/missing"]


@pytest.mark.parametrize("metrics", [(), METRICS])
def test_who_judges_nothing_leaves_nothing(metrics: tuple[str, ...], tmp_path: Path) -> None:
    judge = saying()
    judge.metrics = metrics
    assert {} == keep(judge, tmp_path)
    assert not (tmp_path / "tables").exists()


def test_a_judge_that_fails_is_no_score(tmp_path: Path) -> None:
    class Failing(Saying):
        def judge(self, items: Sequence[Judged]) -> Verdicts:
            raise JudgeError("nobody answers")

    with pytest.raises(JudgeError, match="nobody answers"):
        keep(Failing({}), tmp_path)
    assert not (tmp_path / "tables").exists()
