"""Scores of summaries, with metrics that can be counted on the fingers."""

import math
from dataclasses import replace

import pytest

from tersely.errors import TrainingDiverged
from tersely.evaluation.scores import means, score_summaries
from tersely.evaluation.summaries import Summary
from tersely.records import Example, Fact


def shared_words(summary: str, reference: str) -> float:
    """Share of the reference's words that the summary has."""
    words = reference.split()
    return sum(word in summary.split() for word in words) / len(words)


def brevity(summary: str, reference: str) -> float:
    return 1 / len(summary.split())


METRICS = {"shared": shared_words, "brevity": brevity}
PLAIN = Example("a", "a post", ("the cat sat", "a dog ran off"), "pets")


def summary(text: str, length: int, stopped: bool = True, example: Example = PLAIN) -> Summary:
    return Summary(example, text, length, stopped)


def test_each_metric_counts_the_best_reference() -> None:
    """ "the dog ran": 1 of 3 words of the first reference, 2 of 4 of the second."""
    (scored,) = score_summaries([summary("the dog ran", 3)], METRICS)

    assert {"shared": 0.5, "brevity": 1 / 3} == scored.overlap
    assert {} == scored.facts


def test_a_blank_summary_scores_0() -> None:
    """Without its metrics being asked, some of which could not answer."""
    (scored,) = score_summaries([summary(" \n", 1)], METRICS)
    assert {"shared": 0.0, "brevity": 0.0} == scored.overlap


@pytest.mark.parametrize("place", [0, 1])
def test_a_score_that_is_no_number_is_named(place: int) -> None:
    """With metric and example, whichever of the references it is: `max` would pass over a NaN in
    the second place."""
    odd = PLAIN.references[place]

    def metric(summary: str, reference: str) -> float:
        return math.nan if reference == odd else 0.5

    with pytest.raises(TrainingDiverged, match="rouge_l gave nan for the summary of example 'a'"):
        score_summaries([summary("the dog ran", 3)], {"rouge_l": metric})


def test_means_are_over_summaries() -> None:
    """Shared 0.5 and 1 (all of the first reference): 0.75; brevity 1/3 and 1/3; lengths 60 and
    70; one of two stopped."""
    scores = score_summaries(
        [summary("the dog ran", 60), summary("cat the sat", 70, stopped=False)], METRICS
    )

    metrics = means(scores, target=64)

    assert 0.75 == metrics["shared"]
    assert 1 / 3 == pytest.approx(metrics["brevity"])
    assert 65.0 == metrics["length_mean"]
    assert 5.0 == metrics["length_mean_abs_error"]
    assert 0.5 == metrics["within_5_share"]
    assert 0.5 == metrics["stopped_share"]


def test_facts_are_scored_where_they_are_known() -> None:
    """Two facts, one of them stated: coverage 1/2. Values of the lexicon that are stated: that
    one only, so faithfulness 1. Silence covers nothing and supports nothing."""
    from tersely.data.generated import GeneratedConfig

    example = GeneratedConfig(train=1, validation=1, test=1).build().train[0]
    facts = example.facts[:2]
    known = Example("b", example.post, example.references, example.domain, facts)

    told, silent = score_summaries(
        [summary(facts[0].forms[0], 5, example=known), summary("", 0, example=known)], METRICS
    )

    assert {"fact_coverage": 0.5, "fact_faithfulness": 1.0} == told.facts
    assert {"fact_coverage": 0.0, "fact_faithfulness": 0.0} == silent.facts
    metrics = means([told, silent], target=64)
    assert (0.25, 0.5) == (metrics["fact_coverage"], metrics["fact_faithfulness"])


def test_a_row_of_the_table_has_everything_to_read_and_sort_by() -> None:
    (scored,) = score_summaries([summary("the dog ran", 3)], METRICS)

    assert {
        "when": "after",
        "id": "a",
        "domain": "pets",
        "summary": "the dog ran",
        "reference": "the cat sat",
        "length": 3,
        "stopped": True,
        "shared": 0.5,
        "brevity": 1 / 3,
        "post": "a post",
    } == scored.row("after")


def test_known_facts_take_columns_of_their_own() -> None:
    known = Example("b", "post", ("ref",), facts=(Fact("who", ("my zebra",)),))
    (scored,) = score_summaries([summary("my zebra", 2, example=known)], METRICS)
    assert 1.0 == scored.row("before")["fact_coverage"]


def test_judged_metrics_and_the_number_of_a_sample_take_columns_too() -> None:
    """A missing mean is null, not 0."""
    (scored,) = score_summaries([Summary(PLAIN, "the dog ran", 3, True, sample=2)], METRICS)
    row = replace(scored, judged={"clarity": 0.75, "coverage": None}).row("test/plain")
    assert ("test/plain", 2) == (row["when"], row["sample"])
    assert (0.75, None) == (row["judge/clarity"], row["judge/coverage"])
