"""What stands against a plan: kinds that could not be measured, jobs that cannot start here."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tersely.planning.apart import Found
from tersely.planning.jobs import Planned
from tersely.planning.judge_cost import problem_with
from tersely.planning.keeping import problem_of_keeping
from tersely.planning.kinds import Kind, described
from tersely.planning.stages import stages_of
from tersely.planning.words import jobs_named


def unmeasured(
    kinds: Sequence[Kind], found: Mapping[str, Found], jobs: Sequence[Planned]
) -> Iterator[str]:
    """What came between, each said once."""
    names: dict[str, list[str]] = {}
    for kind in kinds:
        if problem := found[kind.name].problem:
            what = described(kind, jobs)
            names.setdefault(problem, []).append(f"{kind.name} ({what})" if what else kind.name)
    for problem, of in names.items():
        yield f"Kind {' and kind '.join(of)} could not be measured: {problem}"


def no_start(waiting: Sequence[Planned]) -> Iterator[str]:
    """What is wrong with judges and with where runs are kept, each said once. `waiting` are jobs
    that have something left to do."""
    yield from _said_once(waiting, lambda job: job.config.judge, _of_judge)
    yield from _said_once(waiting, _kept, _of_keeping)


def _of_judge(job: Planned) -> str:
    return problem_with(job.config.judge)


def _of_keeping(job: Planned) -> str:
    tracking, shares = _kept(job)
    return problem_of_keeping(tracking, shares)


def _kept(job: Planned) -> tuple[Any, bool]:
    """Its tracking, and whether it shares a stage."""
    return job.config.tracking, any(stage.shared for stage in stages_of(job))


def _said_once(
    jobs: Sequence[Planned], part: Callable[[Planned], object], problem_of: Callable[[Planned], str]
) -> Iterator[str]:
    """`problem_of` the first job of those that have a `part` in common."""
    alike: dict[str, list[Planned]] = {}
    for each in jobs:
        alike.setdefault(repr(part(each)), []).append(each)
    problems: dict[str, list[int]] = {}
    for of in alike.values():
        if problem := problem_of(of[0]):
            problems.setdefault(problem, []).extend(each.number for each in of)
    for problem, numbers in problems.items():
        yield f"No start of {jobs_named(numbers)}: {problem}"
