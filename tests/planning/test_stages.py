"""Stages that are trained once for several jobs, and what is left of each."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tersely.errors import ConfigError
from tersely.planning.jobs import Jobs
from tersely.planning.left import Done
from tersely.planning.measured import Facts
from tersely.planning.stages import stages_left
from tersely.stage_training import key_of
from tersely.training.stages import LENGTH

NAMED = ("-m", "hydra.sweep.dir=night", "trainer.steps=20")


def test_a_length_stage_is_trained_by_the_first_job_that_wants_it(
    jobs: Callable[..., Jobs], facts: Facts
) -> None:
    """One a seed; `reward=length` is that stage and no more."""
    planned = jobs(*NAMED, "reward=rouge,length", "strategy=staged,joint", "seed=0,1").planned
    # reward=length with strategy=staged has no second stage.
    planned = tuple(each for each in planned if each.number not in (4, 5))
    known = {each.number: facts for each in planned}
    done = {each.number: Done() for each in planned}
    lists, shared = stages_left(planned, known, done)
    assert [("S1", 0, (0, 6), 0), ("S2", 1, (1, 7), 1)] == [
        (each.name, each.seed, each.jobs, each.trained_by) for each in shared
    ]
    steps = {number: [stage.left for stage in stages] for number, stages in lists.items()}
    assert {0: [20, 20], 1: [20, 20], 2: [20], 3: [20], 6: [0], 7: [0]} == steps
    assert lists[6][0].taken


def test_one_that_is_there_is_trained_by_nobody(
    jobs: Callable[..., Jobs], facts: Facts, tmp_path: Path
) -> None:
    """It is known by the key that a run would give it."""
    (job,) = jobs(*NAMED, "strategy=staged", "seed=3").planned
    kept = tmp_path / "mlruns" / "stages" / key_of(LENGTH, job.config, facts.data, facts.model)
    kept.mkdir(parents=True)
    (kept / "manifest.json").write_text("{}")
    lists, (shared,) = stages_left([job], {0: facts}, {0: Done()})
    assert (True, None) == (shared.there, shared.trained_by)
    assert kept == tmp_path / shared.folder / str(shared.key)
    assert [0, 20] == [stage.left for stage in lists[0]]


def test_scores_that_end_a_stage_part_it(jobs: Callable[..., Jobs], facts: Facts) -> None:
    """BLEU, smoothed or not, decides when a stage ends and which weights it ends with."""

    def stages(*more: str) -> int:
        swept = ("strategy=staged", "reward=bleu", "reward.bleu_smooth=true,false", *more)
        planned = jobs(*NAMED, *swept).planned
        known = {each.number: facts for each in planned}
        return len(stages_left(planned, known, {each.number: Done() for each in planned})[1])

    looks = ("trainer.evaluate_every=5", "trainer.best_by=bleu")
    assert [1, 1, 2] == [stages(), stages(*looks), stages(*looks, "trainer.patience=2")]


def test_without_data_and_model_it_is_told_by_configuration(jobs: Callable[..., Jobs]) -> None:
    """And steps of an epoch are not known."""
    planned = jobs(
        *("-m", "hydra.sweep.dir=night", "trainer.steps=null", "trainer.epochs=2"),
        *("strategy=staged", "reward=rouge,bleu", "rollout.group_size=4,8"),
    ).planned
    nothing = {each.number: None for each in planned}
    lists, shared = stages_left(planned, nothing, {each.number: Done() for each in planned})
    assert [((0, 2), None), ((1, 3), None)] == [(each.jobs, each.key) for each in shared]
    assert [None, None] == [stage.left for stage in lists[0]]


def test_epochs_are_steps_of_the_prompts_that_are_there(
    jobs: Callable[..., Jobs], facts: Facts
) -> None:
    """2 passes over 20 prompts, 4 a step."""
    (job,) = jobs("trainer.steps=null", "trainer.epochs=2", "trainer.prompts_per_step=4").planned
    lists, _ = stages_left([job], {0: facts}, {0: Done()})
    assert [10] == [stage.left for stage in lists[0]]


@pytest.mark.parametrize(
    ("done", "left"),
    [
        (Done(steps={"length": 8}), [12, 20]),
        (Done(ended=frozenset({"length"}), steps={"quality": 15}), [0, 5]),
        (Done(trained=True), [0, 0]),
        (Done(finished=True), [0, 0]),
    ],
)
def test_what_is_done_is_not_counted(
    jobs: Callable[..., Jobs], facts: Facts, done: Done, left: list[int]
) -> None:
    (job,) = jobs(*NAMED, "strategy=staged").planned
    lists, _ = stages_left([job], {0: facts}, {0: done})
    assert left == [stage.left for stage in lists[0]]


def test_a_job_that_has_its_length_stage_leaves_it_to_the_next(
    jobs: Callable[..., Jobs], facts: Facts
) -> None:
    """Where the store has lost it."""
    planned = jobs(*NAMED, "strategy=staged", "reward=rouge,bleu").planned
    done = {0: Done(ended=frozenset({"length"})), 1: Done()}
    lists, (shared,) = stages_left(planned, {0: facts, 1: facts}, done)
    assert 1 == shared.trained_by
    assert [[0, 20], [20, 20]] == [[stage.left for stage in lists[number]] for number in (0, 1)]


def test_a_strategy_that_does_not_fit_is_refused(jobs: Callable[..., Jobs], facts: Facts) -> None:
    (job,) = jobs("strategy=staged", "reward=length").planned
    with pytest.raises(ConfigError, match="has none"):
        stages_left([job], {0: facts}, {0: Done()})
