"""A policy and rollouts to learn from."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tersely.policy.load import Policy, load_policy
from tersely.records import Example, Prompt

ENDS = frozenset(range(340))
"""Random weights hardly ever draw the one end-of-turn id; here a sixth of all ids are one."""


@pytest.fixture
def eager(checkpoint: Callable[[str], Path]) -> Callable[[str], Policy]:
    """A fresh policy of an architecture, which ends its turn early and late."""

    def load(architecture: str = "qwen2") -> Policy:
        policy = load_policy(checkpoint(architecture))
        policy.tokenizer.end_of_turn_ids = ENDS
        return policy

    return load


@pytest.fixture(scope="session")
def prompts() -> tuple[Prompt, ...]:
    """Seven prompts of 5 to 35 tokens."""
    return tuple(
        Prompt(Example(f"post {n}", "words", ("a reference",)), tuple(range(300, 305 + 5 * n)))
        for n in range(7)
    )
