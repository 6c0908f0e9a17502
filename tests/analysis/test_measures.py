"""What runs are compared by, and what is never made of a missing score."""

from tersely.analysis.measures import JUDGED, MEASURES, mean_of, measure_of, scores_there

COMPOSITE, FACTS, ROUGE = MEASURES
WHOLE = dict.fromkeys(JUDGED, 0.5)
KNOWN = {"fact_coverage": 0.25, "fact_faithfulness": 0.75, "rouge_l": 0.3}


def test_the_first_measure_that_all_have_is_taken() -> None:
    """Judged, else facts, else ROUGE-L, else none; one table without it is enough."""
    assert COMPOSITE == measure_of([[{**KNOWN, **WHOLE}], [WHOLE]])
    assert FACTS == measure_of([[{**KNOWN, **WHOLE}], [KNOWN]])
    assert ROUGE == measure_of([[KNOWN], [{"rouge_l": 0.1}]])
    assert measure_of([[KNOWN], [{"length": 3}]]) is None
    assert measure_of([]) is None


def test_a_measure_is_the_sum_or_the_mean_of_its_columns() -> None:
    """0.5 + 0.5 + 0.5 + 0.5 of 4; (0.25 + 0.75) / 2 of 1."""
    assert (2.0, 4.0) == (COMPOSITE.of(WHOLE), COMPOSITE.most)
    assert (0.5, 1.0) == (FACTS.of(KNOWN), FACTS.most)


def test_one_missing_column_leaves_no_score() -> None:
    """The other three would be a lower sum."""
    assert COMPOSITE.of({**WHOLE, "judge/coverage": None}) is None


def test_means_leave_out_what_is_missing() -> None:
    """(0.2 + 0.4) / 2, not / 3."""
    rows = [{"x": 0.2}, {"x": None}, {"x": 0.4}]
    assert 0.30000000000000004 == mean_of(rows, "x")
    assert mean_of(rows, "y") is None


def test_columns_are_in_the_order_of_reports() -> None:
    """Judged first, whatever a row begins with."""
    assert ["judge/clarity", "rouge_l"] == scores_there([[{"rouge_l": 1}], [{"judge/clarity": 1}]])
