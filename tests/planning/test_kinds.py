"""Kinds of jobs: what is measured once for all of them."""

from collections.abc import Callable
from dataclasses import replace

from tersely.planning.jobs import Jobs
from tersely.planning.kinds import described, kinds_of
from tersely.rewards.length import LengthConfig


def test_reward_strategy_seed_and_judge_make_no_kind(jobs: Callable[..., Jobs]) -> None:
    planned = jobs(
        *("-m", "reward=rouge,meteor", "strategy=joint,staged"),
        *("seed=0,1", "judge=none"),
    ).planned
    (kind,) = kinds_of(planned)
    assert ("A", planned) == (kind.name, kind.jobs)
    assert "" == described(kind, planned)


def test_what_a_step_costs_makes_one(jobs: Callable[..., Jobs]) -> None:
    """Told apart by what its jobs alone have."""
    planned = jobs("-m", "rollout.group_size=4,8", "tuning=full,lora", "seed=0,1").planned
    kinds = kinds_of(planned)
    assert [("A", [0, 1]), ("B", [2, 3]), ("C", [4, 5]), ("D", [6, 7])] == [
        (kind.name, [each.number for each in kind.jobs]) for kind in kinds
    ]
    assert "tuning=lora rollout.group_size=4" == described(kinds[1], planned)


def test_a_job_that_is_not_among_them_may_be_of_a_kind(jobs: Callable[..., Jobs]) -> None:
    first, alike, other = jobs("-m", "rollout.group_size=4,8", "seed=0,1").planned[:3]
    (kind,) = kinds_of([first])
    assert [True, True, False] == [kind.has(each) for each in (first, alike, other)]


def test_there_are_more_kinds_than_letters(jobs: Callable[..., Jobs]) -> None:
    (job,) = jobs("seed=0").planned
    others = [
        replace(job, config=replace(job.config, length=LengthConfig(target)))
        for target in range(10, 38)
    ]
    kinds = kinds_of(others)
    assert ["A", "Z", "AA", "AB"] == [kinds[place].name for place in (0, 25, 26, 27)]
