"""A few real steps, on the embedded model."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from tersely.planning import measuring
from tersely.planning.jobs import Jobs
from tersely.planning.measuring import facts_of, measure, prepared_for_measuring
from tersely.policy.load import TINY, TinyModelConfig

SMALL = ("rollout.group_size=2", "rollout.max_tokens=66", "trainer.prompts_per_step=1",
         "data.train=8", "data.validation=4", "data.test=3", "judge=geval_openai")  # fmt: skip
PARAMETERS = 1_001_088
"""Of the embedded model."""


def test_steps_are_taken_and_counted(jobs: Callable[..., Jobs], tmp_path: Path) -> None:
    """One first, and with weights published every second step three more for two means over two.
    The state is float32: the weights and AdamW's two means, and its step and learning rate."""
    (job,) = jobs(*SMALL, "trainer.steps=50", "rollout.sync_every=2").planned
    prepared, seconds = prepared_for_measuring(job.config)
    facts = facts_of(prepared, seconds)
    assert (8, 0, 3) == (facts.train, facts.validation, facts.test)
    assert 3 == len(facts.posts)
    measured = measure(prepared, 2, tmp_path)
    assert (3, 3) == (len(measured.steps), measured.summaries)
    assert PARAMETERS == measured.parameters
    assert pytest.approx(3 * 4 * PARAMETERS, abs=100) == measured.state_bytes
    for step in (measured.first, *measured.steps):
        assert step.seconds > 0
        assert 0 < step.length <= 66
        assert step.sampled == step.learned
        assert 2 * step.length <= step.sampled <= 2 * step.length + 2  # with ends of turns
    assert 4 * PARAMETERS < measured.mlx_bytes < measured.process_bytes


def test_what_is_learned_is_counted_as_often_as_it_is(
    jobs: Callable[..., Jobs], tmp_path: Path
) -> None:
    """Twice, without ends of turns; a stage of two steps has one after its first."""
    (job,) = jobs(
        *SMALL, "trainer.steps=2", "trainer.train_end_of_turn=false", "trainer.inner_updates=2"
    ).planned
    prepared, _ = prepared_for_measuring(job.config)
    (step,) = measure(prepared, 3, tmp_path).steps
    assert 2 * 2 * step.length == step.learned


def test_validation_prompts_are_counted_where_somebody_looks(jobs: Callable[..., Jobs]) -> None:
    (job,) = jobs(*SMALL, "trainer.evaluate_every=5").planned
    assert 4 == facts_of(*prepared_for_measuring(job.config)).validation


def test_fetching_is_no_job_s_time(
    jobs: Callable[..., Jobs], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that goes on while a model is fetched, 1000 s, and while one that is here is
    found, 1 s."""
    clock = SimpleNamespace(now=0.0, took=1000.0)

    def folder(config: TinyModelConfig) -> Path:
        clock.now += clock.took
        clock.took = 1.0
        return TINY

    monkeypatch.setattr(TinyModelConfig, "folder", folder)
    monkeypatch.setattr(measuring, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    (job,) = jobs(*SMALL).planned
    _, seconds = prepared_for_measuring(job.config)
    assert 1.0 == seconds
