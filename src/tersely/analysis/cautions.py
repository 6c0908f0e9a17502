"""What a reader of a report has to be warned of."""

from collections import Counter
from collections.abc import Iterator
from statistics import fmean
from textwrap import shorten

from tersely.analysis.comparison import Comparison
from tersely.analysis.configurations import LENGTH_ONLY
from tersely.analysis.length import EqualLength
from tersely.analysis.measures import JUDGED, measure_of
from tersely.analysis.results import Results
from tersely.analysis.runs import Run
from tersely.analysis.sides import Side
from tersely.evaluation.composite import pass_rate
from tersely.evaluation.lengths import TOLERANCE


def cautions(results: Results) -> list[str]:
    """Whole sentences, the gravest first; empty if there is nothing to say."""
    return [
        *of_runs(results),
        *of_baselines(results),
        *of_data(results),
        *of_scores(results),
        *of_seeds(results),
        *of_length(results),
    ]


def of_runs(results: Results) -> Iterator[str]:
    left_out = [run for run in results.runs if not run.finished]
    if left_out:
        names = ", ".join(f"{run.name} ({state(run)})" for run in left_out)
        yield f"{counted(len(left_out), 'run')} left out, without a result: {names}."
    used = sum(len(each.runs) for each in results.configurations)
    repeats = len(results.runs) - len(left_out) - used
    if repeats:
        yield (
            f"{counted(repeats, 'run')} left out because a later one has the same configuration "
            "and seed: a repetition is no further seed."
        )
    versions = {tag for run in results.runs if (tag := run.tags.get("code_version"))}
    if len(versions) > 1:
        yield f"The runs are of {len(versions)} versions of the code."


def state(run: Run) -> str:
    status = run.tags.get("status", "no status")
    if run.evaluation is not None:
        return f"no evaluation {run.evaluation}"
    return "no such summaries" if status == "FINISHED" else status


def of_baselines(results: Results) -> Iterator[str]:
    compared = {name for each in results.against_baseline for name in (each.a, each.b)}
    with_one = {each.model for each in results.configurations if each.reward == LENGTH_ONLY}
    alone = [
        each.name
        for each in results.configurations
        if each.name not in compared and each.model not in with_one
    ]
    if alone and results.against_baseline:
        yield (
            "Compared with nothing, for there is no baseline of the same model: "
            f"{', '.join(alone)}. Add a run of that model with reward=length, or set baseline=."
        )


def of_data(results: Results) -> Iterator[str]:
    known = [set(table) for side in results.sides.values() for table in side.tables]
    shared = set.intersection(*known)
    most = max(map(len, known))
    if len(shared) < most:
        yield (
            f"Not all runs were tested on the same posts: {len(shared)} of up to {most} are common "
            "to all of them, and only posts that both sides have are compared."
        )


def of_scores(results: Results) -> Iterator[str]:
    judges = {row.get("judge") for run in results.runs for row in run.verdicts} - {None}
    if len(judges) > 1:
        yield (
            f"The verdicts are of {len(judges)} judges ({', '.join(sorted(map(str, judges)))}), "
            "whose scores cannot be compared with each other: judge all runs by one of them."
        )
    if "judge/faithfulness" in results.columns and results.measure.columns != JUDGED:
        instead = f"go by {results.measure.name} ({results.measure.meaning}) instead."
        if all_judged(results):
            yield (
                "The baseline is the policy before training, for there is no run of the same model "
                "with reward=length, and summaries before training are not judged: the comparisons "
                f"{instead} Add runs with reward=length, or set baseline=."
            )
        else:
            yield f"Not everything that is compared was judged, so the comparisons {instead}"
    elif results.measure.columns != JUDGED:
        yield (
            f"Nothing was judged: the comparisons go by {results.measure.name}, "
            f"{results.measure.meaning}."
        )
    if results.measure.columns == ("rouge_l",):
        yield "A run that was rewarded by ROUGE-L has an advantage where ROUGE-L is the measure."
    yield from of_verdicts(results)
    for name, side in results.sides.items():
        missing = sum(results.measure.of(row) is None for row in side.rows)
        if missing:
            yield (
                f"{name}: {missing} of {len(side.rows)} summaries have no {results.measure.name} "
                "because a verdict is missing; they are paired out, not counted as 0."
            )


def all_judged(results: Results) -> bool:
    """Whether the summaries after training of all configurations are."""
    tables = [table.values() for side in results.sides.values() for table in side.tables]
    measure = measure_of(tables)
    return measure is not None and measure.columns == JUDGED


def of_verdicts(results: Results) -> Iterator[str]:
    """A mean over fewer rounds looks like any other, so they are counted here."""
    for each in results.configurations:
        rows = [row for run in each.runs for row in run.verdicts]
        missing = [row for row in rows if row.get("score") is None]
        rates = [pass_rate(run.verdicts) for run in each.runs]
        left_out = sum(rate.missing for rate in rates)
        rounds = left_out + sum(rate.rounds for rate in rates)
        if missing or left_out:
            reasons = Counter(str(row["reason"]) for row in missing if row.get("reason"))
            yield (
                f"{each.name}: {len(missing)} of {len(rows)} verdicts are missing"
                f"{reasons_said(reasons)}. {left_out} of {rounds} "
                "rounds are left out of the pass rate, and the scores are means over the verdicts "
                "that there are."
            )


def reasons_said(reasons: Counter[str]) -> str:
    """The most frequent ones, each in a line's length."""
    if not reasons:
        return ""
    said = "; ".join(f"{shorten(reason, 80)}, {n} times" for reason, n in reasons.most_common(3))
    return f" ({said}{'; others' if len(reasons) > 3 else ''})"


def of_seeds(results: Results) -> Iterator[str]:
    seeds = Counter(len(each.runs) for each in results.configurations)
    if seeds[1]:
        some = "1 configuration has" if seeds[1] == 1 else f"{seeds[1]} configurations have"
        which = "All configurations have" if len(seeds) == 1 else some
        yield (
            f"{which} one seed only. A test over examples takes a difference between two training "
            "runs for one between their configurations; train further seeds (seed=0,1,2) to tell."
        )


def of_length(results: Results) -> Iterator[str]:
    off = [name for name, side in results.sides.items() if leaves_budget(side)]
    if off:
        yield (
            f"Outside the budget, by more than {TOLERANCE} tokens on average: "
            f"{'; '.join(budget_said(results, name) for name in off)}. What they score may be "
            "length; see the section Length."
        )
    lost = [each for each in results.against_baseline if lost_at_equal_length(each)]
    if lost:
        yield (
            "Detected, but not at equal length, where the interval has 0 in it: "
            f"{', '.join(each.a for each in lost)}."
        )


def leaves_budget(side: Side) -> bool:
    return abs(fmean(side.lengths) - side.target) > TOLERANCE


def budget_said(results: Results, name: str) -> str:
    side = results.sides[name]
    within = sum(abs(length - side.target) <= TOLERANCE for length in side.lengths)
    mean, of = fmean(side.lengths), len(side.lengths)
    return f"{name} (mean {mean:.1f}, {within} of {of} within {TOLERANCE})"


def lost_at_equal_length(each: Comparison) -> bool:
    equal = each.equal_length
    if not each.survives or not isinstance(equal, EqualLength):
        return False
    return equal.interval.low <= 0 <= equal.interval.high


def counted(n: int, noun: str) -> str:
    return f"1 {noun} is" if n == 1 else f"{n} {noun}s are"
