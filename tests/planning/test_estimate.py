"""The arithmetic of an estimate, worked by hand."""

import pytest

from tersely.planning.estimate import (
    Spread,
    Work,
    at_target,
    disk_of,
    rates_of,
    seconds_of,
    spread_of,
    sure,
)
from tersely.planning.measured import Measured


def test_a_spread_goes_from_the_fastest_step_to_the_slowest() -> None:
    assert Spread(1.0, 3.0, 6.0) == spread_of([1.0, 2.0, 6.0])


def test_steps_between_two_publications_are_compared_together() -> None:
    """Of 1, 5, 3, 7, 2 two in a row have the means 3, 4, 5, 4.5; their mean is 16.5 / 4."""
    assert Spread(3.0, 4.125, 5.0) == spread_of([1.0, 5.0, 3.0, 7.0, 2.0], in_a_row=2)


def test_too_few_steps_for_that_are_one_mean() -> None:
    assert sure(2.0) == spread_of([1.0, 3.0], in_a_row=5)


def test_spreads_add_up_end_by_end() -> None:
    assert Spread(4.0, 6.0, 9.0) == Spread(1.0, 2.0, 3.0) + Spread(3.0, 4.0, 6.0)


def test_seconds_of_a_job(measured: Measured) -> None:
    """Two stages of 20 steps each of 2 to 4 seconds, mean 3; each stage begins with a step of 10,
    which is 7 more; 10 summaries of 0.5; 2 to load. 2 + 2 * 7 + 10 * 0.5 = 21 are sure, so
    40 * 2 + 21 = 101, 40 * 3 + 21 = 141, 40 * 4 + 21 = 181."""
    rates = rates_of(measured, sync_every=1, ready_s=2.0)
    work = Work(steps=40, stages=2, summaries=10)
    assert Spread(101.0, 141.0, 181.0) == seconds_of(work, rates)


def test_a_job_without_steps_has_no_first_one(measured: Measured) -> None:
    """2 to load, 5 summaries of 0.5."""
    rates = rates_of(measured, sync_every=1, ready_s=2.0)
    assert sure(4.5) == seconds_of(Work(steps=0, stages=0, summaries=5), rates)


def test_a_first_step_that_was_quick_takes_nothing_back(measured: Measured) -> None:
    """Of 1 s where the others take 3: it is one of them, not 2 s less."""
    quick = Measured(**{**vars(measured), "first": measured.steps[0]})
    assert 0.0 == rates_of(quick, sync_every=1, ready_s=0.0).first_step_s


def test_a_stage_of_one_step_is_told_from_it(measured: Measured) -> None:
    alone = Measured(**{**vars(measured), "steps": ()})
    rates = rates_of(alone, sync_every=1, ready_s=0.0)
    assert sure(10.0) == rates.step_s
    assert sure(1000.0) == rates.sampled


def test_tokens_of_a_step(measured: Measured) -> None:
    """100 a second are sampled and 90 learned from, in steps of 2, 3 and 4 seconds."""
    rates = rates_of(measured, sync_every=1, ready_s=0.0)
    assert Spread(200.0, 300.0, 400.0) == rates.sampled
    assert Spread(180.0, 270.0, 360.0) == rates.learned


def test_tokens_at_the_target() -> None:
    """2 prompts, 8 completions each, of 64 tokens and an end of turn: 16 * 65."""
    assert 1040 == at_target(prompts=2, group_size=8, target=64)


PLAIN = {"save_every": None, "keep_last": 2, "evaluate_every": None, "copied": False}


@pytest.mark.parametrize(
    ("trained", "stages", "differing", "left", "most"),
    [
        # The last checkpoint alone: 10 parameters of 4 bytes.
        ([20], 1, {}, 40, 40),
        # Saved after 50 and 100 of 120: two more policies. With their states they are 2 * 140,
        # and the last one comes beside them: 320.
        ([120], 1, {"save_every": 50}, 40 + 80, 320),
        # After 50 alone: at 100 the stage has ended.
        ([100], 1, {"save_every": 50}, 40 + 40, 140 + 40),
        # Saved after 5, 10 and 15 of both: two are kept, and a third is whole before one goes,
        # 3 * 140, beside the policy between the stages.
        ([20, 20], 2, {"save_every": 5}, 40 + 80, 420 + 40),
        # The first stage is taken from another run: nothing of it is saved, its end is kept.
        ([20], 2, {}, 40, 40 + 40),
        # The best by validation is a policy of its own, and so is what a run store gets.
        ([20], 1, {"evaluate_every": 10, "copied": True}, 120, 120),
        # Nobody has looked after 20 of 30.
        ([20], 1, {"evaluate_every": 30}, 40, 40),
    ],
)
def test_bytes_of_checkpoints(
    measured: Measured,
    trained: list[int],
    stages: int,
    differing: dict[str, int],
    left: int,
    most: int,
) -> None:
    disk = disk_of(measured, trained, stages=stages, **{**PLAIN, **differing})  # type: ignore[arg-type]
    assert (left, most) == (disk.left, disk.most)
