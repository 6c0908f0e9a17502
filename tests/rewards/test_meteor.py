"""METEOR against hand-worked numbers and against NLTK's own, with its own WordNet reader."""

from pathlib import Path

import pytest

from tersely.rewards.matching import Matching
from tersely.rewards.meteor import meteor_scorer


@pytest.mark.parametrize(
    ("summary", "reference", "expected"),
    [
        # 3 of 3 words match in 1 chunk: (1 - 0.5 * (1/3)^3) * 1.
        ("the cat sat", "the cat sat", 1 - 0.5 / 27),
        # "the" and the synonyms quick/fast match; automobile does not, because METEOR looks up the
        # stem automobil. p = r = 2/3, one chunk of two words: (1 - 0.5 * (1/2)^3) * 2/3.
        ("the quick car", "the fast automobile", (1 - 0.5 / 8) * 2 / 3),
        # 2 of 4 words match 2 of 2: p = 1/2, r = 1, p r / (0.9 p + 0.1 r) = 0.5 / 0.55, one chunk.
        ("a dog barked loudly", "a dog", (1 - 0.5 / 8) * 0.5 / 0.55),
        # Both words match in two chunks: (1 - 0.5 * (2/2)^3) * 1.
        ("dog cat", "cat dog", 0.5),
        ("one two", "three four", 0.0),
    ],
)
def test_hand_worked(user_cache: Path, summary: str, reference: str, expected: float) -> None:
    """METEOR is a recall-heavy F-mean of the matched words, less for every break in their order."""
    assert expected == pytest.approx(meteor_scorer(Matching.wordnet)(summary, reference), abs=1e-12)


def test_exact_and_stem() -> None:
    """Without WordNet quick/fast is no match, and dogs/dog, equal by their stem, is one."""
    meteor = meteor_scorer(Matching.exact_and_stem)

    # "the" alone: p = r = 1/3, one chunk of one word: (1 - 0.5) * 1/3.
    assert pytest.approx(1 / 6) == meteor("the quick car", "the fast automobile")
    # Both words match: (1 - 0.5 * (1/2)^3) * 1.
    assert pytest.approx(15 / 16) == meteor("the dogs", "the dog")


@pytest.mark.parametrize("pairs", ["real_pairs", "messy_pairs"])
def test_equals_nltk(user_cache: Path, pairs: str, request: pytest.FixtureRequest) -> None:
    """Cached stems and synonyms change nothing: NLTK's defaults give the same numbers."""
    meteor = meteor_scorer(Matching.wordnet)
    from nltk.tokenize import word_tokenize
    from nltk.translate.meteor_score import meteor_score

    def nltk_meteor(summary: str, reference: str) -> float:
        ours, theirs = (word_tokenize(text, preserve_line=True) for text in (summary, reference))
        return float(meteor_score([theirs], ours))

    texts = request.getfixturevalue(pairs)
    expected = [nltk_meteor(summary, reference) for summary, reference in texts]
    actual = [meteor(summary, reference) for summary, reference in texts]

    assert max(expected) > 0.2
    assert expected == pytest.approx(actual, abs=1e-9)


def test_wordnet_is_used(user_cache: Path) -> None:
    """On synonyms the two matchings differ, so the comparison above is one of synonyms too."""
    pair = ("he bought a quick auto", "he purchased a fast car")
    assert meteor_scorer(Matching.wordnet)(*pair) > meteor_scorer(Matching.exact_and_stem)(*pair)
