"""Coverage and faithfulness, worked by hand on one example of the lexicon."""

import time

import pytest

from tersely.data.facts import coverage, faithfulness
from tersely.data.story import SLOTS, all_values
from tersely.records import Fact


def value(form: str) -> Fact:
    """The value of the lexicon that has this form."""
    return next(fact for fact in all_values() if form in fact.forms)


FACTS = (
    value("my boss"),
    value("gave away my desk"),
    value("in chicago"),
    value("last summer"),
    value("nobody even noticed"),
    value("should i ask for a raise"),
)
COMPLETE = (
    "my boss gave away my desk in chicago last summer. nobody even noticed; "
    "should i ask for a raise?"
)


def test_the_hand_made_facts_fill_every_slot() -> None:
    """The example of this file is a whole one."""
    assert SLOTS == tuple(fact.slot for fact in FACTS)


def test_a_complete_summary_scores_one() -> None:
    """Six of six facts are stated, and six of six stated values are facts."""
    assert 1.0 == coverage(COMPLETE, FACTS)
    assert 1.0 == faithfulness(COMPLETE, FACTS)


def test_a_wrong_city_costs_both_scores() -> None:
    """Five of six facts are left; of six stated values five are facts."""
    wrong = COMPLETE.replace("chicago", "toronto")
    assert 5 / 6 == coverage(wrong, FACTS)
    assert 5 / 6 == faithfulness(wrong, FACTS)


def test_an_added_city_costs_faithfulness_only() -> None:
    """All six facts are stated; of seven stated values six are facts."""
    more = COMPLETE + " or was it in oslo?"
    assert 1.0 == coverage(more, FACTS)
    assert 6 / 7 == faithfulness(more, FACTS)


def test_leaving_out_facts_costs_coverage_only() -> None:
    """Two of six facts are stated, and both are true."""
    short = "my boss went to see somebody last summer."
    assert 2 / 6 == coverage(short, FACTS)
    assert 1.0 == faithfulness(short, FACTS)


def test_values_count_once_however_often_they_are_stated() -> None:
    """One true value said three times and one false one: a half, not three quarters."""
    text = "my boss, my boss and the head of my team were in oslo"
    assert 1 / 6 == coverage(text, FACTS)
    assert 1 / 2 == faithfulness(text, FACTS)


@pytest.mark.parametrize("text", ["", "   ", "...", "lovely weather today, is it not?"])
def test_a_summary_without_values_supports_nothing(text: str) -> None:
    """Silence and gibberish are not faithful."""
    assert 0.0 == coverage(text, FACTS)
    assert 0.0 == faithfulness(text, FACTS)


@pytest.mark.parametrize(
    "text",
    ["MY BOSS", "my  boss", "my\nboss", "(my boss)", "My, boss!", "the head of my team"],
)
def test_case_space_punctuation_and_wording_do_not_matter(text: str) -> None:
    """Each of these states the first fact and nothing else."""
    assert 1 / 6 == coverage(text, FACTS)
    assert 1.0 == faithfulness(text, FACTS)


@pytest.mark.parametrize("text", ["my bosses", "dummy boss", "my big boss", "boss my", "my boss's"])
def test_only_whole_words_in_order_count(text: str) -> None:
    """None of these contains the words "my boss" in a row."""
    assert 0.0 == coverage(text, FACTS)
    assert 0.0 == faithfulness(text, FACTS)


def test_my_bossy_aunt_is_not_my_boss() -> None:
    """The aunt is a value of her own, and a false one here."""
    assert value("my bossy aunt") != value("my boss")
    assert 0.0 == coverage("my bossy aunt", FACTS)
    assert 0.0 == faithfulness("my bossy aunt", FACTS)
    assert 1 / 2 == faithfulness("my bossy aunt met my boss", FACTS)


def test_a_curly_apostrophe_is_an_apostrophe() -> None:
    """Forms with an apostrophe would be missed otherwise, and possessives found."""
    facts = (Fact("who", ("the judge's clerk",)),)
    assert 1.0 == coverage("The judge\u2019s clerk", facts)
    assert 0.0 == coverage("my boss\u2019s", FACTS)


def test_facts_are_needed() -> None:
    """A share of nothing is an error and not a score."""
    with pytest.raises(ValueError, match="needs the facts"):
        coverage("my boss", ())
    with pytest.raises(ValueError, match="needs the facts"):
        faithfulness("my boss", ())


def test_scoring_is_fast_enough_for_a_reward() -> None:
    """Both scores of a summary of 150 words, a thousand times, well within two seconds."""
    text = f"{COMPLETE} {'and so it went on and on for a while ' * 13}"
    coverage(text, FACTS), faithfulness(text, FACTS)
    start = time.perf_counter()
    for _ in range(1000):
        coverage(text, FACTS)
        faithfulness(text, FACTS)
    assert time.perf_counter() - start < 2.0
