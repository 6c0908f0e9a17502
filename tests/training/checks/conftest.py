"""Stages that are watched while they are trained."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from watched_stages import trained_and_watched

from tersely.policy.load import Policy
from tersely.records import Prompt


@pytest.fixture
def watched(eager: Callable[..., Policy], prompts: Sequence[Prompt]) -> Callable[..., set[str]]:
    """Trains a fresh policy; the names of the checks that have found something."""

    def run(architecture: str = "speck", **how: Any) -> set[str]:
        checks = trained_and_watched(eager(architecture), prompts, **how)
        return {finding.name for finding in checks.findings}

    return run
