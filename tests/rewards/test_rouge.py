"""ROUGE-L against hand-worked numbers and against rouge_score."""

import pytest

from tersely.rewards.rouge import rouge_l


@pytest.mark.parametrize(
    ("summary", "reference", "expected"),
    [
        # The longest common subsequence is "the cat on the mat": p = r = 5/6.
        ("the cat sat on the mat", "the cat is on the mat", 5 / 6),
        # "a c" is common: p = 2/4, r = 2/3, so 2 * (1/2) * (2/3) / (1/2 + 2/3) = 4/7.
        ("a b c d", "a x c", 4 / 7),
        # Order counts: of "a b" and "b a" one word is common, p = r = 1/2.
        ("a b", "b a", 1 / 2),
        # running -> run, runs -> run, cats -> cat; cat has three letters and stays.
        ("Running, CATS!", "runs cat", 1.0),
        ("one two", "three four", 0.0),
        ("", "three four", 0.0),
        ("!?", "!?", 0.0),
    ],
)
def test_hand_worked(summary: str, reference: str, expected: float) -> None:
    """ROUGE-L is the F1 of the longest common subsequence of stemmed words."""
    assert expected == pytest.approx(rouge_l(summary, reference), abs=1e-12)


@pytest.mark.parametrize("pairs", ["real_pairs", "messy_pairs"])
def test_equals_rouge_score(pairs: str, request: pytest.FixtureRequest) -> None:
    """The fast route gives the numbers of rouge_score with its stemmer."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    texts = request.getfixturevalue(pairs)
    expected = [scorer.score(reference, summary)["rougeL"].fmeasure for summary, reference in texts]
    actual = [rouge_l(summary, reference) for summary, reference in texts]

    assert max(expected) > 0.2
    assert expected == pytest.approx(actual, abs=1e-9)
