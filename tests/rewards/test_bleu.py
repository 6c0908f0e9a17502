"""BLEU-4 against hand-worked numbers, sacrebleu's counts and tokens, and NLTK's BLEU."""

import math

import pytest

from tersely.rewards.bleu import sentence_bleu, tokens_13a


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, world.", ["Hello", ",", "world", "."]),
        ("It's 1,000.5 or 2-3.", ["It's", "1,000.5", "or", "2", "-", "3", "."]),
        ("well-known (x/y)", ["well-known", "(", "x", "/", "y", ")"]),
        ("cut-\nting\nedge &amp; &quot;q&quot;", ["cutting", "edge", "&", '"', "q", '"']),
        (" \n", []),
    ],
)
def test_tokens(text: str, expected: list[str]) -> None:
    """Marks stand apart, except in numbers, contractions and compounds."""
    assert expected == tokens_13a(text)


def test_hand_worked() -> None:
    """Six words, one replaced: 5/6, 3/5, 1/4 and 0/3 of the n-grams match."""
    summary, reference = "the cat sat on the mat", "the cat is on the mat"

    assert sentence_bleu(summary, reference, smooth=False) == 0.0
    # (6/7 * 4/6 * 2/5 * 1/4) ** (1/4) = (48/840) ** (1/4); equal lengths, no brevity penalty.
    assert pytest.approx(sentence_bleu(summary, reference, smooth=True)) == (48 / 840) ** 0.25
    assert round(sentence_bleu(summary, reference, smooth=True), 6) == 0.488923


def test_brevity() -> None:
    """Five of the ten words in their order: every n-gram matches, and exp(1 - 10/5) remains."""
    reference = "a b c d e f g h i j"

    assert math.exp(-1) == pytest.approx(sentence_bleu("a b c d e", reference, smooth=False))
    # Too long a summary pays in precision: 5/10, 4/9, 3/8, 2/7 match, and nothing else is taken.
    expected = (5 / 10 * 4 / 9 * 3 / 8 * 2 / 7) ** 0.25
    assert expected == pytest.approx(sentence_bleu(reference, "a b c d e", smooth=False))


def test_repeated_words_count_once() -> None:
    """A word matches as often as the reference has it: 2 of 4 here, (3/5 * 1/4 * 1/3 * 1/2)."""
    expected = (3 / 5 * 1 / 4 * 1 / 3 * 1 / 2) ** 0.25
    assert expected == pytest.approx(sentence_bleu("a a a a", "a b a c", smooth=True))


@pytest.mark.parametrize("smooth", [False, True])
def test_no_words(smooth: bool) -> None:
    """Where either text has no token the score is 0, smoothed or not."""
    assert sentence_bleu("", "a b", smooth=smooth) == 0.0
    assert sentence_bleu("a b", " ", smooth=smooth) == 0.0


def test_short_texts() -> None:
    """Fewer than four words have no 4-gram: 0 as it is, and (0 + 1) / (0 + 1) smoothed."""
    assert sentence_bleu("a b", "a b", smooth=False) == 0.0
    assert sentence_bleu("a b", "a b", smooth=True) == 1.0


@pytest.mark.parametrize("pairs", ["real_pairs", "messy_pairs"])
def test_tokens_equal_sacrebleu(pairs: str, request: pytest.FixtureRequest) -> None:
    """The tokens are those of sacrebleu's 13a, which HF evaluate carries a copy of."""
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    tokenize = Tokenizer13a()
    for text in {text for pair in request.getfixturevalue(pairs) for text in pair}:
        assert tokenize(text).split() == tokens_13a(text)


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("pairs", ["real_pairs", "messy_pairs"])
def test_equals_sacrebleu_counts(pairs: str, smooth: bool, request: pytest.FixtureRequest) -> None:
    """The formula on matches, n-grams and brevity as sacrebleu counts them gives the score."""
    from sacrebleu.metrics import BLEU

    counter = BLEU(tokenize="none", effective_order=True, force=True)
    for summary, reference in request.getfixturevalue(pairs):
        ours, theirs = (" ".join(tokens_13a(text)) for text in (summary, reference))
        found = counter.sentence_score(ours, [theirs])
        precisions = [
            (matches + smooth) / max(possible + smooth, 1)
            for matches, possible in zip(found.counts, found.totals, strict=True)
        ]
        expected = found.bp * math.prod(precisions) ** 0.25 if ours and theirs else 0.0
        assert expected == pytest.approx(sentence_bleu(summary, reference, smooth=smooth), abs=1e-9)


@pytest.mark.parametrize("pairs", ["real_pairs", "messy_pairs"])
def test_equals_nltk_bleu(pairs: str, request: pytest.FixtureRequest) -> None:
    """Unsmoothed and above 0 it is NLTK's sentence_bleu; NLTK has another idea of no match."""
    from nltk.translate.bleu_score import sentence_bleu as nltk_bleu

    compared = 0
    for summary, reference in request.getfixturevalue(pairs):
        actual = sentence_bleu(summary, reference, smooth=False)
        if actual > 0:
            expected = nltk_bleu([tokens_13a(reference)], tokens_13a(summary))
            assert expected == pytest.approx(actual, abs=1e-9)
            compared += 1
    assert compared >= 10
