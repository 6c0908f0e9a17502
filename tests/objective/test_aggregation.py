"""What tokens weigh, worked by hand."""

import pytest

from tersely.objective.aggregation import Aggregation, token_weights

LENGTHS = [[2, 4], [1, 3]]
"""P = 2, G = 2, 10 tokens."""
EVERY = pytest.mark.parametrize("aggregation", Aggregation)


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        # 1 / (P G L): 1 / (4 * 2), 1 / (4 * 4); 1 / (4 * 1), 1 / (4 * 3).
        (Aggregation.sequence_mean, [[1 / 8, 1 / 16], [1 / 4, 1 / 12]]),
        # One of ten.
        (Aggregation.token_mean, [[1 / 10, 1 / 10], [1 / 10, 1 / 10]]),
        # 1 / (P G max_tokens) = 1 / (4 * 5).
        (Aggregation.constant, [[1 / 20, 1 / 20], [1 / 20, 1 / 20]]),
    ],
)
def test_two_groups_of_two(aggregation: Aggregation, expected: list[list[float]]) -> None:
    actual = token_weights(aggregation, LENGTHS, max_tokens=5)
    assert expected == [pytest.approx(group) for group in actual]


@EVERY
def test_a_batch_of_equal_lengths_at_the_limit_weighs_the_same_in_all(
    aggregation: Aggregation,
) -> None:
    """3 groups of 2 completions of 5 tokens: 1 / 30."""
    weights = token_weights(aggregation, [[5, 5]] * 3, max_tokens=5)
    assert [pytest.approx([1 / 30] * 2)] * 3 == weights


def test_means_weigh_1_in_all_and_the_constant_weighs_the_share_of_the_limit() -> None:
    """A loss of 1 at every token is 1 as a mean; divided by a constant it grows with the lengths:
    10 tokens of the 4 * 5 that there could be."""

    def total(aggregation: Aggregation) -> float:
        weights = token_weights(aggregation, LENGTHS, max_tokens=5)
        return sum(
            weight * length
            for own, lengths in zip(weights, LENGTHS, strict=True)
            for weight, length in zip(own, lengths, strict=True)
        )

    assert 1 == pytest.approx(total(Aggregation.sequence_mean))
    assert 1 == pytest.approx(total(Aggregation.token_mean))
    assert 0.5 == pytest.approx(total(Aggregation.constant))


def test_only_the_token_mean_depends_on_how_long_the_others_are() -> None:
    """The first completion, beside others of 4, 1, 3 and of 40, 10, 30 tokens."""

    def first(aggregation: Aggregation, lengths: list[list[int]]) -> float:
        return token_weights(aggregation, lengths, max_tokens=64)[0][0]

    longer = [[2, 40], [10, 30]]
    for aggregation, same in [
        (Aggregation.constant, True),
        (Aggregation.sequence_mean, True),
        (Aggregation.token_mean, False),
    ]:
        assert same == (first(aggregation, LENGTHS) == first(aggregation, longer))


@EVERY
def test_one_completion_of_one_token(aggregation: Aggregation) -> None:
    """It is the mean by itself; against a limit of 1 it is the constant, too."""
    assert [[1.0]] == token_weights(aggregation, [[1]], max_tokens=1)


@EVERY
def test_a_completion_without_a_label_weighs_nothing(aggregation: Aggregation) -> None:
    """Nor does it change what the others weigh, and a batch of such is no error."""
    weights = token_weights(aggregation, [[0, 4]], max_tokens=5)
    own = {Aggregation.sequence_mean: 1 / 8, Aggregation.token_mean: 1 / 4}
    assert [[0.0, own.get(aggregation, 1 / 10)]] == weights
    assert [[0.0, 0.0]] == token_weights(aggregation, [[0, 0]], max_tokens=5)
