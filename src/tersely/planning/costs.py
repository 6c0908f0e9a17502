"""What is left of a job, in seconds, tokens, bytes and dollars."""

from collections.abc import Sequence
from dataclasses import dataclass

from tersely.planning.apart import Found
from tersely.planning.estimate import Disk, Rates, Spread, Work, disk_of, seconds_of
from tersely.planning.jobs import Planned
from tersely.planning.judge_cost import Asking
from tersely.planning.left import Done
from tersely.planning.stages import StageLeft
from tersely.run import COPIED_CHECKPOINT
from tersely.tracking.config import MlflowTracking


@dataclass(frozen=True)
class Cost:
    """Of one job, from here on."""

    work: Work
    seconds: Spread
    sampled: Spread
    """Tokens."""
    learned: Spread
    """Tokens."""
    disk: Disk
    """Of all of it, whatever is there already."""
    asking: Asking | None
    """Of a judge that asks somebody."""


def cost_of(
    planned: Planned,
    stages: Sequence[StageLeft],
    done: Done,
    found: Found,
    rates: Rates,
    asking: Asking | None,
) -> Cost:
    """Of a job whose kind was measured."""
    assert found.facts is not None and found.measured is not None
    work = work_of(planned, stages, done, found.facts.test, found.facts.validation)
    trainer = planned.config.trainer
    return Cost(
        work=work,
        seconds=seconds_of(work, rates),
        sampled=rates.sampled.times(work.steps),
        learned=rates.learned.times(work.steps),
        disk=disk_of(
            found.measured,
            [stage.steps for stage in stages if stage.steps and not stage.taken],
            stages=len(stages),
            save_every=trainer.save_every,
            keep_last=trainer.keep_last,
            evaluate_every=trainer.evaluate_every,
            copied=_is_copied(planned, 4 * found.measured.parameters),
        ),
        asking=asking,
    )


def _is_copied(planned: Planned, policy_bytes: int) -> bool:
    """Whether a run store gets the checkpoint too."""
    in_store = isinstance(planned.config.tracking, MlflowTracking)
    return in_store and policy_bytes <= COPIED_CHECKPOINT


def work_of(
    planned: Planned, stages: Sequence[StageLeft], done: Done, test: int, validation: int
) -> Work:
    """Steps and summaries of a job; `test` and `validation` are the prompts of these splits."""
    every = planned.config.trainer.evaluate_every
    going = [stage for stage in stages if stage.left]
    looks = 0
    if every is not None:
        looks = sum((each.done + (each.left or 0)) // every - each.done // every for each in going)
    return Work(
        steps=sum(stage.left or 0 for stage in going),
        stages=len(going),
        summaries=test * (1 + (not done.scored_before)) + validation * looks,
    )
