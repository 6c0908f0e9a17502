"""Everything that a report says, as numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

from tersely.analysis.comparison import Comparison, compare, family
from tersely.analysis.configurations import Configuration, baselines, configurations
from tersely.analysis.correlation import Correlation, Row, pooled_correlations
from tersely.analysis.length import Within, frontier
from tersely.analysis.measures import Measure, mean_of, measure_of, scores_there
from tersely.analysis.runs import Run
from tersely.analysis.sides import BEFORE, Side, after_training, before_training
from tersely.errors import DataError
from tersely.evaluation.composite import PassRate, pass_rate

FURTHEST = 40
"""Tokens off the target up to which the frontier of quality is drawn."""


@dataclass(frozen=True)
class Best:
    """The best configuration of each strategy, of one model."""

    model: str
    joint: str
    staged: str


@dataclass(frozen=True)
class Results:
    """What the runs show."""

    runs: tuple[Run, ...]
    configurations: tuple[Configuration, ...]
    sides: dict[str, Side]
    """By configuration."""
    before: dict[str, Side]
    """By configuration; those whose runs left summaries before training."""
    measure: Measure
    columns: tuple[str, ...]
    """All scores that there are."""
    pass_rates: dict[str, PassRate]
    """By configuration; those that were judged."""
    against_baseline: tuple[Comparison, ...]
    same_reward: tuple[Comparison, ...]
    """Staged against joint, where the two differ in nothing else."""
    best: tuple[Best, ...]
    best_compared: tuple[Comparison, ...]
    """The best staged against the best joint one, in the order of `best`."""
    correlations: dict[tuple[str, str], dict[tuple[str, str], Correlation]]
    """By model and strategy, then by two columns."""
    frontiers: dict[str, list[Within]]
    """By configuration, for 0 to `FURTHEST` tokens off the target."""

    @property
    def beside(self) -> tuple[str, ...]:
        """The scores that stand beside the measure: all, but for one that is the measure."""
        return tuple(each for each in self.columns if (each,) != self.measure.columns)


def analyse(runs: Sequence[Run], baseline: str | None) -> Results:
    """Raises DataError where the runs have no score in common, ConfigError for the baseline."""
    every = configurations([run for run in runs if run.finished])
    sides = {each.name: after_training(each) for each in every}
    before = {each.name: side for each in every if (side := before_training(each)) is not None}
    against = baselines(every, baseline)
    by_name = {each.name: each for each in every}
    pairs = [
        (sides[name], sides[other.name] if other is not None else before.get(name))
        for name, other in against.items()
    ]
    used = [*sides.values(), *(b for _, b in pairs if b is not None)]
    measure = measure_of([table.values() for side in used for table in side.tables])
    if measure is None:
        raise DataError(
            "the summaries of these runs have no score in common: neither the judged metrics nor "
            "facts nor ROUGE-L are in all their tables, so they cannot be compared; leave the run "
            "without scores out with runs=[...]"
        )
    columns = scores_there([side.rows for side in sides.values()])
    best = best_of(every, sides, measure)
    return Results(
        runs=tuple(runs),
        configurations=tuple(every),
        sides=sides,
        before=before,
        measure=measure,
        columns=tuple(columns),
        pass_rates={
            name: rate for name, each in by_name.items() if (rate := passes(each)) is not None
        },
        against_baseline=tuple(family([compare(a, b, measure) for a, b in pairs if b is not None])),
        same_reward=tuple(family(staged_against_joint(every, sides, measure))),
        best=tuple(best),
        best_compared=tuple(
            family([compare(sides[each.staged], sides[each.joint], measure) for each in best])
        ),
        correlations=pooled_correlations(
            [((each.model, each.strategy), numbers(sides[each.name], columns)) for each in every],
            [*columns, "length"],
        ),
        frontiers={
            name: frontier(*side.single(measure), side.target, FURTHEST)
            for name, side in sides.items()
        },
    )


def passes(configuration: Configuration) -> PassRate | None:
    """Over the posts of all its seeds; None where one of its runs was not judged."""
    if not all(run.verdicts for run in configuration.runs):
        return None
    return pass_rate(
        {**row, "id": f"{run.seed}#{row['id']}"}
        for run in configuration.runs
        for row in run.verdicts
    )


def staged_against_joint(
    every: Sequence[Configuration], sides: dict[str, Side], measure: Measure
) -> list[Comparison]:
    """One for each two configurations that differ in their strategy alone."""

    def rest(each: Configuration) -> frozenset[tuple[str, str]]:
        return frozenset(item for item in each.identity.items() if item[0] != "strategy")

    joint = {rest(each): each for each in every if each.strategy == "joint"}
    return [
        compare(sides[each.name], sides[joint[rest(each)].name], measure)
        for each in every
        if each.strategy == "staged" and rest(each) in joint
    ]


def best_of(every: Sequence[Configuration], sides: dict[str, Side], measure: Measure) -> list[Best]:
    """By mean score; of each model that has both strategies, length-only left out."""
    found = []
    for model in dict.fromkeys(each.model for each in every):
        of_strategy = {}
        for strategy in ("joint", "staged"):
            scored = [
                (mean, each.name)
                for each in every
                if (each.model, each.strategy) == (model, strategy) and each.reward != "length"
                if (mean := mean_score(sides[each.name], measure)) is not None
            ]
            if scored:
                of_strategy[strategy] = max(scored)[1]
        if len(of_strategy) == 2:
            found.append(Best(model, of_strategy["joint"], of_strategy["staged"]))
    return found


def mean_score(side: Side, measure: Measure) -> float | None:
    """Over the summaries of all seeds that have one."""
    return mean_of([{"score": measure.of(row)} for row in side.rows], "score")


def before_label(results: Results, model: str) -> str:
    """What the summaries before training are called: by the model where there are several."""
    several = len({each.model for each in results.configurations}) > 1
    return f"{model} · {BEFORE}" if several else BEFORE


def numbers(side: Side, columns: Sequence[str]) -> list[Row]:
    """The scores and the length of each summary, for correlations."""
    return [{column: row.get(column) for column in (*columns, "length")} for row in side.rows]
