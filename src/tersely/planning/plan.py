"""All that a dry run finds out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tersely.errors import TerselyError
from tersely.planning.apart import Found, measured_apart
from tersely.planning.costs import Cost, cost_of
from tersely.planning.estimate import Rates, rates_of
from tersely.planning.jobs import Jobs, Planned
from tersely.planning.judge_cost import Asking, asking_of
from tersely.planning.kinds import Kind, kinds_of
from tersely.planning.left import Done, done_of
from tersely.planning.problems import no_start, unmeasured
from tersely.planning.stages import SharedStage, StageLeft, stages_left, stages_of


@dataclass(frozen=True)
class Plan:
    """The jobs of a command, and what is known of them."""

    jobs: Jobs
    done: Mapping[int, Done]
    """By job number, as all that follows with an `int`."""
    kinds: tuple[Kind, ...]
    """Of the jobs that have something left to do."""
    found: Mapping[str, Found]
    """By kind."""
    rates: Mapping[str, Rates]
    """By kind; without those that could not be measured."""
    stages: Mapping[int, tuple[StageLeft, ...]]
    shared: tuple[SharedStage, ...]
    costs: Mapping[int, Cost]
    """Of the jobs that have something left to do and whose kind was measured."""
    problems: tuple[str, ...]
    """What could not be measured or will not be there, and why."""

    @property
    def waiting(self) -> tuple[Planned, ...]:
        """The jobs that have something left to do."""
        return tuple(each for each in self.jobs.planned if not self.done[each.number].finished)

    @property
    def complete(self) -> bool:
        """Whether every job can be started, and its costs are known."""
        return not (self.jobs.refused or self.problems)


def plan_of(jobs: Jobs, steps: int) -> Plan:
    """Look at what is there of `jobs`, and measure `steps` steps of each kind that is left."""
    reasons, done = _looked_at(jobs.planned)
    jobs = jobs.without(reasons)
    kinds = kinds_of([each for each in jobs.planned if not done[each.number].finished])
    found = {kind.name: measured_apart(kind, steps) for kind in kinds}
    jobs = jobs.without(
        {
            each.number: found[kind.name].problem
            for kind in kinds
            if found[kind.name].refused
            for each in kind.jobs
        }
    )
    left = tuple(kind for kind in kinds if not found[kind.name].refused)
    facts = {
        each.number: next((found[kind.name].facts for kind in left if kind.has(each)), None)
        for each in jobs.planned
    }
    stages, shared = stages_left(jobs.planned, facts, done)
    rates = {kind.name: rates for kind in left if (rates := _rates(kind, found[kind.name]))}
    costs = {
        each.number: cost_of(
            each,
            stages[each.number],
            done[each.number],
            found[kind.name],
            rates[kind.name],
            asking,
        )
        for kind in left
        if kind.name in rates
        for each, asking in _with_asking(kind, found[kind.name])
    }
    waiting = [each for each in jobs.planned if not done[each.number].finished]
    return Plan(
        jobs=jobs,
        done=done,
        kinds=left,
        found=found,
        rates=rates,
        stages=stages,
        shared=shared,
        costs=costs,
        problems=(*unmeasured(left, found, jobs.planned), *no_start(waiting)),
    )


def _looked_at(jobs: Sequence[Planned]) -> tuple[dict[int, str], dict[int, Done]]:
    """Why jobs are refused, as far as nothing has to be loaded, and what is done of the others."""
    reasons: dict[int, str] = {}
    done: dict[int, Done] = {}
    owners: dict[Path, int] = {}
    for each in jobs:
        owner = owners.setdefault(each.job.folder, each.number)
        if owner != each.number:
            reasons[each.number] = (
                f"job {owner} has the same folder, {each.job.folder}; give each its own with "
                "hydra.sweep.subdir, or leave that to its default"
            )
            continue
        try:
            stages_of(each)
            done[each.number] = done_of(each)
        except TerselyError as error:
            reasons[each.number] = str(error)
    return reasons, done


def _rates(kind: Kind, found: Found) -> Rates | None:
    if found.facts is None or found.measured is None:
        return None
    return rates_of(found.measured, kind.config.rollout.sync_every, found.facts.seconds)


def _with_asking(kind: Kind, found: Found) -> Iterator[tuple[Planned, Asking | None]]:
    """The jobs of `kind`, with what their judges ask."""
    assert found.facts is not None
    known: dict[str, Asking | None] = {}
    for each in kind.jobs:
        judge = each.config.judge
        if repr(judge) not in known:
            known[repr(judge)] = asking_of(judge, found.facts.posts, found.facts.test)
        yield each, known[repr(judge)]
