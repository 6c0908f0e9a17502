"""The length reward against the study's formula."""

from collections.abc import Callable

import pytest

from tersely.errors import ConfigError
from tersely.records import Example, Group, Prompt, Rollout
from tersely.rewards.length import LengthConfig, length_score


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (40, -0.375),  # 24/64
        (60, -0.0625),  # 4/64
        (64, 0.0),
        (66, -0.03125),  # 2/64
        (110, -0.71875),  # 46/64
        (0, -1.0),
        (128, -1.0),
        (512, -7.0),  # 448/64
    ],
)
def test_hand_worked(tokens: int, expected: float) -> None:
    """The score is minus the distance from the target, in targets, with no lower bound."""
    assert expected == length_score(tokens, target=64, floor=None)


def test_floor() -> None:
    """A floor holds the score from below and changes nothing above it."""
    assert length_score(512, target=64, floor=-1.0) == -1.0
    assert length_score(80, target=64, floor=-1.0) == -0.25


def test_term_leaves_out_the_end_of_turn_token() -> None:
    """A summary of 64 tokens that ended its turn has 65 ids and is on target."""
    prompt = Prompt(Example("post-7", "a post", ("a word",)), (1, 2))
    ended = Rollout((5,) * 65, (-1.0,) * 65, "stop", 0, "text")
    cut = Rollout((5,) * 65, (-1.0,) * 65, "length", 0, "text")
    term = LengthConfig().build()

    assert (term.name, term.weight) == ("length", 1.0)
    assert term.score(Group(prompt, (ended, cut))) == [0.0, -1 / 64]


def test_an_empty_completion_is_scored(make_group: Callable[..., Group]) -> None:
    """An empty completion is 64 tokens from the target: -1, not the 0 of a quality term."""
    assert LengthConfig().build().score(make_group([""], length=0)) == [-1.0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"target": 0}, r"length\.target must be at least 1, got 0; the study uses 64"),
        ({"floor": 0.0}, r"length\.floor must be a finite number below 0.*got 0\.0"),
        ({"floor": float("-inf")}, r"length\.floor.*got -inf"),
        ({"weight": 0.0}, r"length\.weight must be a finite number above 0, got 0\.0"),
        ({"weight": float("nan")}, r"length\.weight.*got nan"),
    ],
)
def test_wrong_values(values: dict[str, float], message: str) -> None:
    """A wrong value names its key, itself, the rule and a remedy."""
    with pytest.raises(ConfigError, match=message):
        LengthConfig(**values)  # type: ignore[arg-type]
