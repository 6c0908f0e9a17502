"""What an evaluation refuses to decode."""

import pytest

from tersely.errors import ConfigError
from tersely.evaluation.decoding import DecodingConfig, MeasureConfig
from tersely.rewards.matching import Matching
from tersely.rewards.quality import RewardConfig


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"samples": 3}, "decoding.temperature=1"),
        ({"top_p": 0.9}, "decoding.temperature=1"),
        ({"samples": 0, "temperature": 1.0}, "decoding.samples must lie in 1 to 10000, got 0"),
        ({"temperature": -1.0}, "decoding.temperature must be 0 or lie in 0.01 to 100, got -1"),
        (
            {"temperature": float("nan")},
            "decoding.temperature must be 0 or lie in 0.01 to 100, got nan",
        ),
        ({"temperature": 1.0, "top_p": 0.0}, "decoding.top_p must lie in 1e-6 to 1, got 0"),
        ({"temperature": 0.005}, "decoding.temperature must be 0 or lie in 0.01 to 100"),
        ({"max_tokens": 1}, "decoding.max_tokens must lie in 2 to 1000000, got 1"),
    ],
)
def test_what_cannot_be_decoded_is_refused(values: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        DecodingConfig(**values)  # type: ignore[arg-type]


def test_temperature_0_is_greedy() -> None:
    assert DecodingConfig().greedy
    assert not DecodingConfig(temperature=0.5).greedy


def test_measures_are_those_of_a_run() -> None:
    """The same defaults, and the same meaning when they are changed."""
    assert RewardConfig() == MeasureConfig().metrics()
    changed = MeasureConfig(meteor_matching=Matching.exact_and_stem, bleu_smooth=False).metrics()
    assert RewardConfig(Matching.exact_and_stem, bleu_smooth=False) == changed


def test_a_target_is_at_least_a_token() -> None:
    with pytest.raises(ConfigError, match=r"measure\.target must be at least 1 token, got 0"):
        MeasureConfig(target=0)
