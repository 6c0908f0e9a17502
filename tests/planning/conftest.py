"""Jobs as the planner composes them, and what was measured of them, made up."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tersely.config import register
from tersely.evaluation.judges.verdicts import Judged
from tersely.planning.jobs import Jobs, jobs_of
from tersely.planning.measured import Facts, Measured, Step


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Jobs]:
    """Arguments of `train.py`, typed in an empty folder, to its jobs."""
    register()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TERSELY_SWEEP", raising=False)
    monkeypatch.setenv("TERSELY_SWEEP", "night")  # the planner may set it, and this takes it back
    return lambda *arguments: jobs_of(arguments)


@pytest.fixture
def facts() -> Facts:
    """20 training prompts, 3 to validate on, 5 to test on; 2 seconds to load."""
    post = Judged("1", "a post", "its summary")
    return Facts(20, 3, 5, data="d" * 16, model="m" * 16, seconds=2.0, posts=(post,))


@pytest.fixture
def measured() -> Measured:
    """Steps of 2, 3 and 4 seconds after one of 10; 10 parameters, and a state of 100 bytes."""
    return Measured(
        first=step(10.0),
        steps=(step(2.0), step(3.0), step(4.0)),
        summaries=5,
        summary_s=0.5,
        mlx_bytes=1_500_000_000,
        process_bytes=2_500_000_000,
        parameters=10,
        state_bytes=100,
    )


def step(seconds: float) -> Step:
    return Step(seconds, sampled=int(100 * seconds), learned=int(90 * seconds), length=50.0)
