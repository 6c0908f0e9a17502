"""What is logged of a step, worked by hand."""

import pytest

from tersely.records import Batch, Example, Group, Prompt, Rollout, Scores
from tersely.training.metrics import reward_metrics, rollout_metrics, sampled_tokens

PROMPT = Prompt(Example("post", "words", ("a reference",)), (1, 2))


def rollout(tokens: int, stopped: bool, version: int) -> Rollout:
    return Rollout(
        tuple(range(tokens)), (-1.0,) * tokens, "stop" if stopped else "length", version, ""
    )


BATCH = Batch(
    3,
    (
        Group(PROMPT, (rollout(5, True, 2), rollout(8, False, 2))),
        Group(PROMPT, (rollout(1, True, 3), rollout(3, True, 1))),
    ),
)


def test_rewards_are_averaged_over_rollouts_and_spread_is_measured_in_groups() -> None:
    """Rewards 1 3 | 5 5: mean 3.5; deviations in their groups 1 and 0, mean 0.5 (pooled it would
    be 1.66); one of two groups is all equal.

    Quality 0 1 | 0.2 0.4: mean 0.4, deviations 0.5 and 0.1, mean 0.3.
    Length 1 2 | 4.8 4.6: mean 3.1, deviations 0.5 and 0.1, mean 0.3.
    """
    scores = [
        Scores({"quality": (0.0, 1.0), "length": (1.0, 2.0)}, (1.0, 3.0)),
        Scores({"quality": (0.2, 0.4), "length": (4.8, 4.6)}, (5.0, 5.0)),
    ]

    assert reward_metrics(scores) == pytest.approx(
        {
            "reward/mean": 3.5,
            "reward/std_within_group": 0.5,
            "reward/zero_std_share": 0.5,
            "reward/quality": 0.4,
            "reward/quality_std_within_group": 0.3,
            "reward/length": 3.1,
            "reward/length_std_within_group": 0.3,
        }
    )


def test_a_group_that_differs_by_rounding_only_counts_as_equal() -> None:
    scores = [Scores({}, (0.1 + 0.2, 0.3)), Scores({}, (0.3, 0.3 + 1e-5))]
    assert 0.5 == reward_metrics(scores)["reward/zero_std_share"]


def test_lengths_leave_out_the_end_of_turn_and_staleness_counts_updates() -> None:
    """5, 1 and 3 ids that end their turn are 4, 0 and 2 tokens; 8 that were cut are 8: mean 3.5.

    At version 3 the rollouts of versions 2 2 3 1 are 1 1 0 2 updates old: mean 1.
    """
    assert {
        "length/mean": 3.5,
        "length/min": 0.0,
        "length/max": 8.0,
        "rollout/stopped_share": 0.75,
        "rollout/staleness": 1.0,
    } == rollout_metrics(BATCH, version=3)


def test_all_drawn_tokens_count_for_the_speed() -> None:
    """5 + 8 + 1 + 3, ends of turn included."""
    assert 17 == sampled_tokens(BATCH)
