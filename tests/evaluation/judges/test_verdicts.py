"""What is made of verdicts; a missing one is never a 0."""

import pytest

from tersely.evaluation.judges.verdicts import BUDGET, METRICS, Usage, Verdict, Verdicts


def rounds(*rows: tuple[str, int, tuple[float | None, ...]], reason: str = "why") -> Verdicts:
    """Rows of id, round and the four scores."""
    return Verdicts(
        tuple(
            Verdict(id, metric, round_, score, reason, "judge")
            for id, round_, scores in rows
            for metric, score in zip(METRICS, scores, strict=True)
        )
    )


def test_a_mean_is_over_the_rounds_that_are_there() -> None:
    """(0.4 + 0.8) / 2; a single 1.0 beside a missing one; none at all."""
    judged = rounds(("a", 0, (0.4, 1.0, None, 0.0)), ("a", 1, (0.8, None, None, 0.0)))

    means = judged.means()["a"]

    assert pytest.approx(0.6) == means["faithfulness"]
    assert (1.0, None, 0.0) == (means["coverage"], means["conciseness"], means["clarity"])
    assert 3 == judged.missing


def test_numbers_of_an_evaluation() -> None:
    """Faithfulness: (0.6 + 0.0) / 2 over two summaries. Conciseness of b alone: 0.5. Rounds of a:
    one without conciseness, which is left out, and one that passes; b fails: (1 + 0) / 2."""
    judged = rounds(
        ("a", 0, (0.6, 1.0, None, 1.0)),
        ("a", 1, (0.6, 0.5, 0.5, 0.5)),
        ("b", 0, (0.0, 1.0, 0.5, 1.0)),
    )

    numbers = judged.metrics()

    assert pytest.approx(0.3) == numbers["judge/faithfulness"]
    assert 0.5 == numbers["judge/conciseness"]
    assert 0.5 == numbers["judge/pass_rate"]
    assert 1.0 == numbers["judge/missing"]
    assert "judge/usd" not in numbers


def test_what_the_budget_did_not_reach_is_counted_apart() -> None:
    judged = rounds(("a", 0, (None,) * 4), reason=BUDGET)
    assert (4, 4) == (judged.missing, judged.unpaid)
    assert "judge/faithfulness" not in judged.metrics()


def test_a_row_has_the_whole_verdict() -> None:
    judged = Verdicts((Verdict("a", "clarity", 2, 0.5, "why", "geval m", cached=True),))
    row = {
        "id": "a",
        "metric": "clarity",
        "round": 2,
        "score": 0.5,
        "reason": "why",
        "judge": "geval m",
        "cached": True,
    }
    assert [row] == judged.rows()


def test_dollars_are_a_number_where_they_are_known() -> None:
    verdict = Verdict("a", "clarity", 0, 0.5, "why", "geval m")
    assert 0.25 == Verdicts((verdict,), usage=Usage(calls=1, usd=0.25)).metrics()["judge/usd"]
