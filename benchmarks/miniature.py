"""What the miniature study shows beside its reports. Prints JSON.

`python benchmarks/miniature.py FOLDER [--pictures FOLDER]` reads the sweeps below FOLDER, by the
names and commands of docs/study.md, and compares configurations of any of them: the ratio, the
weights that an update changes, how length is learned, unsmoothed BLEU, old weights. Differences
are between means of three seeds, tested over examples and seeds as in a report, or between the
three runs' own numbers (Welch's t) where there is one number a run. What is missing is left out.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
from miniature_study.pictures import TARGET, draw
from miniature_study.sweeps import ABLATIONS, POSTS, Sweeps, one, read, steps_of
from scipy import stats

from tersely.analysis.comparison import Comparison, compare
from tersely.analysis.configurations import Configuration
from tersely.analysis.measures import MEASURES, Measure
from tersely.analysis.paired import Interval
from tersely.analysis.runs import Run
from tersely.analysis.sides import Side, after_training

LATER = 20
"""The step after which lengths are looked at: before it all runs are much alike."""
DISTANCE = Measure("|length - 64|", ("distance",), True, "tokens off the target")
SCORES = {
    "composite": MEASURES[0],
    **{name: Measure(name, (name,), True, "0 to 1") for name in ("rouge_l", "meteor", "bleu")},
    "distance": DISTANCE,
}  # fmt: skip
QUALITIES = {"rouge": "rouge_l", "meteor": "meteor", "bleu": "bleu"}
"""Reward to the score that it rewards."""


def mean_of(steps: Iterable[Mapping[str, float]], key: str) -> float | None:
    values = [line[key] for line in steps if key in line]
    return fmean(values) if values else None


def mechanics(every: Sequence[Configuration]) -> dict[str, Any]:
    """Over all steps of all runs of a sweep: the ratio, and what an update changes."""
    steps = [line for each in every for run in each.runs for line in steps_of(run)]
    off = [abs(line["loss/ratio_mean"] - 1) for line in steps if "loss/ratio_mean" in line]
    return {
        "runs": sum(len(each.runs) for each in every),
        "steps": len(steps),
        "ratio_mean_off_1": {"mean": fmean(off), "most": max(off)} if off else None,
        "clip_share": mean_of(steps, "loss/clip_share"),
        "mismatch_kl": mean_of(steps, "loss/mismatch_kl"),
        "staleness": mean_of(steps, "rollout/staleness"),
        "changed_share": mean_of(steps, "update/changed_share"),
    }


def late_distance(run: Run) -> float | None:
    """Mean over the later steps of how far a step's mean completion length is off the target. Of
    a staged run these are its quality stage's."""
    late = [abs(line["length/mean"] - TARGET) for line in steps_of(run) if line["step"] > LATER]
    return fmean(late) if late else None


def between_runs(
    a: Configuration, b: Configuration, number: Callable[[Run], float | None]
) -> dict[str, Any] | None:
    """`a - b` of one number a run; Welch, 1947. None where a side has it of fewer than two; no test
    where neither side's numbers differ from run to run."""
    of_a, of_b = (
        [found for run in side.runs if (found := number(run)) is not None] for side in (a, b)
    )
    if min(len(of_a), len(of_b)) < 2:
        return None
    found = {"a": of_a, "b": of_b, "difference": fmean(of_a) - fmean(of_b)}
    if not (stdev(of_a) or stdev(of_b)):
        return {**found, "interval": None, "p": None}
    test = stats.ttest_ind(of_a, of_b, equal_var=False)
    low, high = test.confidence_interval()
    return {**found, "interval": [float(low), float(high)], "p": float(test.pvalue)}


def side_of(each: Configuration) -> Side:
    """Its summaries after training, with how far each is off the target."""
    side = after_training(each)
    tables = tuple(
        {key: {**row, "distance": abs(row["length"] - TARGET)} for key, row in table.items()}
        for table in side.tables
    )
    return Side(side.name, tables, side.target)


def tested(a: Configuration, b: Configuration, names: Iterable[str]) -> dict[str, Any]:
    """`a - b` on the test split, by each score that both have, over examples and seeds."""
    compared = {name: compare(side_of(a), side_of(b), SCORES[name]) for name in names}
    return {name: numbers(found) for name, found in compared.items() if found.n}


def numbers(comparison: Comparison) -> dict[str, Any]:
    interval = comparison.interval
    return {
        "a": comparison.mean_a,
        "b": comparison.mean_b,
        "difference": comparison.difference,
        "interval": [interval.low, interval.high] if isinstance(interval, Interval) else None,
        "p": comparison.p,
        "seeds": comparison.seeds,
    }


def ablations(sweeps: Sweeps) -> dict[str, Any]:
    """Each change of the sound length-only run against it."""
    base = one(sweeps.get("generated_sound", ()), "length", "joint")
    found = {}
    for name, words in ABLATIONS.items():
        changed = one(sweeps.get("generated_ablations", ()), "length", "joint", words)
        if base and changed:
            found[name] = length_learned(changed, base)
    return found


def study_length_only(sweeps: Sweeps) -> dict[str, Any]:
    """The study's length-only run on made-up posts: against the sound one, and against the sound
    one with its rounding and without bias correction, which it has among others."""
    study = one(sweeps.get("generated_study", ()), "length", "joint")
    both = ABLATIONS["rounded, no bias correction"]
    others = {
        "sound": one(sweeps.get("generated_sound", ()), "length", "joint"),
        "both": one(sweeps.get("generated_ablations", ()), "length", "joint", both),
    }
    return {name: length_learned(study, each) for name, each in others.items() if study and each}


def length_learned(a: Configuration, b: Configuration) -> dict[str, Any]:
    """`a - b` in how far lengths are off, while training and on the test split."""
    return {
        "distance_while_training": between_runs(a, b, late_distance),
        "test": tested(a, b, ("distance", "composite")),
        **mechanics([a]),
    }


def own_scores(every: Sequence[Configuration]) -> dict[str, Any]:
    """Whether a reward raises the score that it rewards, over length alone."""
    base = one(every, "length", "joint")
    found = {}
    for reward, score in QUALITIES.items():
        for strategy in ("joint", "staged"):
            if base and (each := one(every, reward, strategy)):
                found |= {
                    f"{reward} {strategy}": shown for shown in tested(each, base, [score]).values()
                }
    return found


def settings_compared(study: Sequence[Configuration], sound: Sequence[Configuration]) -> Any:
    """The study's setting against the sound one, reward by reward; not by BLEU, which is smoothed
    in one of them."""
    found = {}
    for each in study:
        if other := one(sound, each.reward, each.strategy):
            names = ("distance", "composite", "rouge_l", "meteor")
            found[f"{each.reward} {each.strategy}"] = {
                **tested(each, other, names),
                "distance_while_training": between_runs(each, other, late_distance),
            }
    return found


def unsmoothed_bleu(sweeps: Sweeps) -> dict[str, Any]:
    """What BLEU rewards in a group, smoothed and not, and what rewarding it changes."""
    sound, study, changed = (
        sweeps.get(f"generated_{name}", []) for name in ("sound", "study", "ablations")
    )
    cases = {
        "sound": (one(sound, "bleu", "joint"), one(sound, "length", "joint")),
        "sound, unsmoothed": (
            one(changed, "bleu", "joint", {"reward.bleu_smooth=false"}),
            one(sound, "length", "joint"),
        ),
        "study": (one(study, "bleu", "joint"), one(study, "length", "joint")),
    }
    found = {}
    for name, (bleu, length) in cases.items():
        if not (bleu and length):
            continue
        steps = [line for run in bleu.runs for line in steps_of(run)]
        found[name] = {
            "bleu": mean_of(steps, "reward/bleu"),
            "bleu_std_within_group": mean_of(steps, "reward/bleu_std_within_group"),
            "length_std_within_group": mean_of(steps, "reward/length_std_within_group"),
            "test": tested(bleu, length, ("rouge_l", "meteor", "composite", "distance")),
        }
    return found


def length_and_coverage(every: Sequence[Configuration]) -> dict[str, Any]:
    """Pearson's r of mean length and mean judged scores over a strategy's configurations that have
    a quality reward, as in the study's tables; its numbers there are 0.99 and 0.94 for coverage of
    staged, 0.77 and 0.32 of joint."""
    found = {}
    for strategy in ("joint", "staged"):
        rewarded = [each for each in every if each.strategy == strategy and each.reward != "length"]
        sides = [side_of(each) for each in rewarded]
        if len(sides) < 3:
            continue
        lengths = [fmean(side.lengths) for side in sides]
        found[strategy] = {
            "mean_lengths": lengths,
            **{
                metric: float(
                    np.corrcoef(lengths, [fmean(r[key] for r in s.rows) for s in sides])[0, 1]
                )
                for metric in ("coverage", "conciseness", "faithfulness")
                if (key := f"judge/{metric}") in sides[0].rows[0]
            },
        }
    return found


def spread_of_seeds(every: Sequence[Configuration]) -> dict[str, float]:
    """How far apart runs are that differ in their seed alone: composite, absolute difference."""
    apart, sds = [], []
    for each in every:
        measure = SCORES["composite"]
        scores = ([measure.of(row) for row in run.after.values()] for run in each.runs)
        means = [fmean(own) for run in scores if (own := [x for x in run if x is not None])]
        apart += [abs(x - y) for x, y in combinations(means, 2)]
        sds += [stdev(means)] if len(means) > 1 else []
    return {"mean": fmean(apart), "most": max(apart), "sd": fmean(sds)} if apart else {}


def single_runs(every: Sequence[Configuration]) -> dict[str, Any]:
    """The study's test: a paired t-test of two runs over the posts of the test split. How often its
    p is below 0.05 for runs that differ in their seed alone, and for a reward against length alone
    with the same seed."""
    base = one(every, "length", "joint")
    of_seeds = [pair for each in every for pair in combinations(each.runs, 2)]
    of_rewards = [
        (run, other)
        for each in every
        if base and each is not base
        for run in each.runs
        for other in base.runs
        if run.seed == other.seed
    ]
    return {"seed": below_5_percent(of_seeds), "reward": below_5_percent(of_rewards)}


def below_5_percent(pairs: Iterable[tuple[Run, Run]]) -> dict[str, int]:
    """By the composite, or by ROUGE-L where nothing was judged; over the posts that both have."""
    found = []
    for a, b in pairs:
        for measure in (SCORES["composite"], SCORES["rouge_l"]):
            shared = a.after.keys() & b.after.keys()
            scores = [(measure.of(a.after[key]), measure.of(b.after[key])) for key in shared]
            if len(both := [pair for pair in scores if None not in pair]) > 1:
                found.append(float(stats.ttest_rel(*zip(*both, strict=True)).pvalue))
                break
    return {"pairs": len(found), "below_5_percent": sum(p < 0.05 for p in found)}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=Path)
    given = parser.parse_args(arguments)
    sweeps = read(given.folder)
    pairs = {p: (sweeps.get(f"{p}_study", []), sweeps.get(f"{p}_sound", [])) for p in POSTS}
    settings = {name: sweeps[name] for name in sweeps if name.endswith(("_sound", "_study"))}
    report = {
        "mechanics": {name: mechanics(every) for name, every in sweeps.items()},
        "seeds": {name: spread_of_seeds(every) for name, every in sweeps.items()},
        "single_runs": {name: single_runs(every) for name, every in settings.items()},
        "ablations": ablations(sweeps),
        "study_length_only": study_length_only(sweeps),
        "study_against_sound": {posts: settings_compared(*pair) for posts, pair in pairs.items()},
        "own_scores": {name: own_scores(every) for name, every in settings.items()},
        "bleu": unsmoothed_bleu(sweeps),
        "length_and_scores": {name: length_and_coverage(each) for name, each in settings.items()},
    }
    if given.pictures:
        draw(sweeps, given.pictures)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
