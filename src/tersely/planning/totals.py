"""What a plan says of costs, as names and sentences."""

from collections.abc import Iterator
from functools import reduce
from statistics import fmean

from tersely.planning.costs import Cost
from tersely.planning.estimate import NOTHING, Spread, at_target
from tersely.planning.judge_cost import Asking
from tersely.planning.kinds import Kind
from tersely.planning.plan import Plan
from tersely.planning.words import about, count, dollars, duration, durations, jobs_named, size


def kind_lines(kind: Kind, plan: Plan) -> Iterator[tuple[str, str]]:
    """What a step and a summary of a kind of job take. It must have been measured."""
    rates, measured = plan.rates[kind.name], plan.found[kind.name].measured
    facts = plan.found[kind.name].facts
    assert measured is not None and facts is not None
    steps = measured.steps or (measured.first,)
    config = kind.config
    yield (
        "a step",
        f"{durations(rates.step_s)}, by {len(steps)} of them after a first one of "
        f"{duration(measured.first.seconds)}",
    )
    yield (
        "a summary",
        f"{duration(rates.summary_s)}, by {measured.summaries} of the {facts.test} of the test "
        "split, which is summarised before and after training",
    )
    target = at_target(
        config.trainer.prompts_per_step, config.rollout.group_size, config.length.target
    )
    yield (
        "tokens",
        f"{about(rates.sampled.mean)} sampled and {about(rates.learned.mean)} learned from a step; "
        f"completions have {fmean(step.length for step in steps):.0f} tokens now, and at the "
        f"target of {config.length.target} a step would sample {count(target)}",
    )
    yield (
        "memory",
        f"{size(measured.mlx_bytes)} in MLX and {size(measured.process_bytes)} of the process, "
        "at their peaks",
    )


def total_lines(plan: Plan) -> Iterator[tuple[str, str]]:
    """What all jobs take that are left and were measured."""
    costs = list(plan.costs.values())
    steps, summaries = (
        sum(cost.work.steps for cost in costs),
        sum(cost.work.summaries for cost in costs),
    )
    yield (
        "time",
        f"{durations(_sum(cost.seconds for cost in costs))} for {steps:,} steps and "
        f"{summaries:,} summaries; lengths change while training, and time with them",
    )
    yield (
        "not in it",
        ", ".join([*_missing(plan), "self-checks, judging, writing to disk and to the run store"]),
    )
    if plan.jobs.launcher not in (None, "basic"):
        yield (
            "launcher",
            f"hydra/launcher={plan.jobs.launcher} may run jobs beside each other: less time in "
            "all, more for each, and the memory of each",
        )
    if any(each.config.trainer.patience is not None for each in plan.waiting):
        yield "patience", "trainer.patience may end stages earlier"
    yield (
        "tokens",
        f"{about(_sum(cost.sampled for cost in costs).mean)} sampled, "
        f"{about(_sum(cost.learned for cost in costs).mean)} learned from",
    )
    yield "disk", _disk(plan, costs)
    yield from _judges(costs)


def _missing(plan: Plan) -> list[str]:
    """Jobs whose kind was not measured."""
    missing = sorted({each.number for each in plan.waiting} - plan.costs.keys())
    return [jobs_named(missing)] if missing else []


def _sum(spreads: Iterator[Spread]) -> Spread:
    return reduce(Spread.__add__, spreads, NOTHING)


def _disk(plan: Plan, costs: list[Cost]) -> str:
    stages = sum(
        4 * measured.parameters
        for stage in plan.shared
        for kind in plan.kinds
        if stage.trained_by in {each.number for each in kind.jobs}
        and (measured := plan.found[kind.name].measured)
    )
    left = sum(cost.disk.left for cost in costs)
    said = f"{size(left + stages)} of checkpoints when all is done"
    more = max(cost.disk.most - cost.disk.left for cost in costs)
    return f"{said}, and {size(more)} more while a job goes on" if more > 0 else said


def _judges(costs: list[Cost]) -> Iterator[tuple[str, str]]:
    alike: dict[Asking, int] = {}
    for cost in costs:
        if cost.asking is not None:
            alike[cost.asking] = alike.get(cost.asking, 0) + 1
    for asking, jobs in alike.items():
        yield (
            "judge",
            f"{asking.name}: {asking.calls:,} requests a job, {asking.calls * jobs:,} in all, at "
            f"most {asking.at_a_time} at a time; if every answer can be read, about "
            f"{about(asking.prompt_tokens * jobs)} tokens of prompts and at most "
            f"{count(asking.answer_tokens * jobs)} of answers{_dollars(asking, jobs)}; "
            "verdicts that are kept already cost nothing",
        )


def _dollars(asking: Asking, jobs: int) -> str:
    if asking.prompts_usd is None or asking.most_usd is None:
        return ""
    return f": {dollars(asking.prompts_usd * jobs)} to {dollars(asking.most_usd * jobs)}"
