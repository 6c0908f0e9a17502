"""What holds of every choice of the group `judge` that asks nobody, a new one included."""

import pytest

from tersely.config import GROUPS
from tersely.evaluation.judges.config import EndpointConfig
from tersely.evaluation.judges.verdicts import Judge, Judged
from tersely.records import Fact

OFFLINE = [
    choice
    for choice, schema in GROUPS["judge"].choices.items()
    if not issubclass(schema, EndpointConfig)
]
EVERY = pytest.mark.parametrize("choice", OFFLINE)

POST = "my dog ran off while i was at work. i found him in the park after an hour."
FACTS = (Fact("who", ("my dog",)), Fact("where", ("in the park",)))
ITEMS = [
    Judged("good", POST, "my dog ran off, and i found him in the park.", FACTS),
    Judged("blank", POST, " \n", FACTS),
    Judged("marks", POST, "?! ...", FACTS),
    Judged("odd", "\u2028 \u0130 \ud83d", "\u65e5\u672c \ufb01ne " * 50, FACTS),
    Judged("no post", "", "my dog ran off.", FACTS),
    Judged("no facts", POST, "my dog ran off."),
]


def judge(choice: str) -> Judge:
    built: Judge = GROUPS["judge"].choices[choice]().build()
    return built


@EVERY
def test_each_metric_of_a_summary_has_one_verdict_in_0_to_1_or_a_reason(choice: str) -> None:
    """Summaries that it cannot judge have none at all, or missing ones: never a made-up 0."""
    made = judge(choice)

    verdicts = made.judge(ITEMS).verdicts

    found = [(each.id, each.metric, each.round) for each in verdicts]
    assert len(set(found)) == len(found)
    assert {id for id, *_ in found} <= {item.id for item in ITEMS}
    for id in {id for id, *_ in found}:
        assert set(made.metrics) == {metric for of, metric, _ in found if of == id}
    for each in verdicts:
        assert made.name == each.judge
        assert each.reason if each.score is None else 0 <= each.score <= 1


@EVERY
def test_the_same_summaries_have_the_same_verdicts_in_any_order(choice: str) -> None:
    def by_id(items: list[Judged]) -> dict[str, dict[str, float | None]]:
        return judge(choice).judge(items).means()

    assert by_id(ITEMS) == by_id(ITEMS[::-1])


@EVERY
def test_nothing_to_judge_is_no_error(choice: str) -> None:
    assert () == judge(choice).judge([]).verdicts
