"""The weighted sum of terms."""

from collections.abc import Callable

import pytest

from tersely.errors import ConfigError, TrainingDiverged
from tersely.records import Group, Scores
from tersely.rewards.mixture import Mixture, Term


def constant(name: str, *scores: float, weight: float = 1.0) -> Term:
    return Term(name, weight, lambda group: list(scores))


def test_hand_worked(make_group: Callable[..., Group]) -> None:
    """The reward is the weighted sum; the terms are logged without their weights."""
    mixture = Mixture((constant("length", -0.5, 0.0), constant("rouge", 0.25, 0.5, weight=2.0)))

    # 1 * -0.5 + 2 * 0.25 = 0 and 1 * 0 + 2 * 0.5 = 1.
    assert Scores(
        terms={"length": (-0.5, 0.0), "rouge": (0.25, 0.5)}, reward=(0.0, 1.0)
    ) == mixture.score(make_group(["one", "two"]))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_no_number(bad: float, make_group: Callable[..., Group]) -> None:
    """A score that is not finite stops the run and says which term and which example."""
    mixture = Mixture((constant("length", 0.0, 0.0), constant("judge", 0.5, bad)))

    with pytest.raises(TrainingDiverged, match=f"'judge' gave {bad} for rollout 1.*'post-7'"):
        mixture.score(make_group(["one", "two"]))


def test_a_sum_that_is_too_large(make_group: Callable[..., Group]) -> None:
    """Scores may be finite and their sum not, or too large for a standard deviation: advantages
    would be 0 or NaN. 1e25 * 1e6 = 1e31, above 1e30."""
    mixture = Mixture((constant("length", 0.0, 1.0), constant("judge", 0.5, 1e25, weight=1e6)))

    with pytest.raises(TrainingDiverged, match=r"rollout 1 of example 'post-7'.*judge 1e\+25"):
        mixture.score(make_group(["one", "two"]))

    infinite = Mixture((constant("a", 1e308, 0.0, weight=1e6), constant("b", 0.0, 0.0)))
    with pytest.raises(TrainingDiverged, match="rollout 0 of example 'post-7' is inf"):
        infinite.score(make_group(["one", "two"]))


def test_a_missing_score(make_group: Callable[..., Group]) -> None:
    """A term that skips a rollout is a defect, not a shorter group."""
    with pytest.raises(ValueError, match="'length' gave 1 scores for 2 rollouts"):
        Mixture((constant("length", 0.0),)).score(make_group(["one", "two"]))


def test_no_terms() -> None:
    """A mixture of nothing cannot teach anything."""
    with pytest.raises(ConfigError, match="no terms"):
        Mixture(())


def test_one_name_twice() -> None:
    """Two terms of one name would hide each other in the log."""
    with pytest.raises(ConfigError, match="share a name: rouge, rouge"):
        Mixture((constant("rouge", 0.0), constant("rouge", 0.0)))
