"""A sound stage, in which nothing may be found."""

from collections.abc import Callable
from typing import Any

import pytest

from tersely.objective.aggregation import Aggregation
from tersely.training.config import Precision


@pytest.mark.parametrize(
    ("architecture", "staleness"), [("speck", 0), ("qwen2", 1), ("lfm2", 1), ("speck", 3)]
)
def test_nothing_is_found(
    architecture: str, staleness: int, watched: Callable[..., set[str]]
) -> None:
    assert set() == watched(architecture, steps=25, staleness=staleness)


@pytest.mark.parametrize(
    "how",
    [
        {"precision": Precision.bf16_stochastic},
        {"precision": Precision.bf16_master},
        {"learning_rate": 2e-6},
        {"reference": lambda policy: None},
        {"sampled_at": 0.7, "temperature": 0.7},
        {"aggregation": Aggregation.token_mean},
        {"aggregation": Aggregation.constant, "max_tokens": 120, "learning_rate": 1e-3},
        {"mini_batches": 3},
    ],
    ids=[
        "rounded by chance",
        "masters",
        "the study's rate",
        "no reference",
        "cooler",
        "token mean",
        "Dr. GRPO",
        "several updates a step",
    ],
)
def test_nor_in_other_settings(how: dict[str, Any], watched: Callable[..., set[str]]) -> None:
    assert set() == watched(steps=25, **how)
