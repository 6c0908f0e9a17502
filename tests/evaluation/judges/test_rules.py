"""Conciseness and clarity by rule, worked by hand."""

import pytest

from tersely.evaluation.judges.rules import clarity, conciseness

POST = "my dog ran off and i found him in the park"
"""11 words."""


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        # 3 of 11 words, one trigram: (1 - 3/11) * 1
        ("my dog ran", 8 / 11),
        # 6 of 11 words; my-dog-ran, dog-ran-my, ran-my-dog, my-dog-ran: 3 of 4 are distinct
        ("my dog ran, my dog ran", 5 / 11 * 3 / 4),
        # two words have no trigram, and repeat none: 1 - 2/11
        ("My dog!", 9 / 11),
        # as long as the post: 1 - 11/11
        (POST, 0.0),
        # longer than the post, and no less than 0
        (f"{POST} {POST}", 0.0),
        ("", 0.0),
        (" ... ", 0.0),
    ],
)
def test_conciseness(summary: str, expected: float) -> None:
    assert expected == pytest.approx(conciseness(summary, POST))


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        # ended; 1 of 1 sentences; 2 of 2 pairs differ
        ("My dog ran.", 1.0),
        # not ended, the rest as above: (0 + 1 + 1) / 3
        ("My dog ran", 2 / 3),
        # a quotation mark may follow the end
        ('He said "my dog ran."', 1.0),
        # ended; 1 of 2 sentences has 2 to 40 words; pairs my-dog, dog-ran, ran-so: 3 of 3
        ("My dog ran. So!", (1 + 1 / 2 + 1) / 3),
        # ended; 0 of 1 sentences, 41 words; 0 of 40 pairs differ
        ("dog " * 40 + "dog.", (1 + 0 + 0) / 3),
        # ended; 1 of 1; my-dog, dog-dog, dog-ran: 2 of 3
        ("My dog dog ran.", (1 + 1 + 2 / 3) / 3),
        ("", 0.0),
        ("?!", 0.0),
    ],
)
def test_clarity(summary: str, expected: float) -> None:
    assert expected == pytest.approx(clarity(summary))
