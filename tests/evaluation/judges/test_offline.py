"""The judges that ask nobody."""

import logging

import pytest

from tersely.evaluation.judges.config import FactsConfig, NoJudge
from tersely.evaluation.judges.verdicts import METRICS, Judged, Verdicts
from tersely.records import Fact

WHO = Fact("who", ("my great uncle",))
WHERE = Fact("where", ("in the church hall",))
POST = "well, guess what my great uncle did. we were in the church hall, with people watching."
"""16 words."""


def test_facts_are_found_or_not() -> None:
    """One of two facts is stated and nothing else: coverage 1/2, faithfulness 1. 5 of 16 words
    without a repetition: conciseness 11/16. Clarity: it has no end, (0 + 1 + 1) / 3."""
    item = Judged("a", POST, "my great uncle was there", (WHO, WHERE))

    judged = FactsConfig().build().judge([item])

    expected = {"faithfulness": 1.0, "coverage": 0.5, "conciseness": 11 / 16, "clarity": 2 / 3}
    assert expected == pytest.approx(judged.means()["a"])
    assert "leaves out where" == judged.verdicts[METRICS.index("coverage")].reason
    assert 0 == judged.missing
    assert 1.0 == judged.passed.rate


def test_without_facts_nothing_is_judged_and_one_line_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Those with facts are still judged."""
    items = [Judged("a", POST, "my great uncle", (WHO,)), *(Judged(c, POST, "x") for c in "bc")]

    with caplog.at_level(logging.INFO):
        judged = FactsConfig().build().judge(items)

    assert {"a"} == set(judged.means())
    assert 1 == len(caplog.messages)
    assert "leaves out 2 of 3" in caplog.messages[0]


def test_none_judges_nothing() -> None:
    judged = NoJudge().build().judge([Judged("a", POST, "x", (WHO,))])
    assert Verdicts() == judged
    assert {} == judged.metrics()
