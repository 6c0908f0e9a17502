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
from scipy import stats

from tersely.analysis.comparison import Comparison, compare
from tersely.analysis.configurations import Configuration, configurations
from tersely.analysis.curve_figures import curve
from tersely.analysis.drawing import COLOURS, INK, Picture, canvas, finished
from tersely.analysis.measures import MEASURES, Measure
from tersely.analysis.paired import Interval
from tersely.analysis.runs import Run, read_run
from tersely.analysis.sides import Side, after_training
from tersely.tracking.folder_run import read_metrics

TARGET, LATER = 64, 20
"""Tokens; and the step after which lengths are looked at: before it all runs are much alike."""
SETTINGS = ("generated_sound", "generated_study")
DISTANCE = Measure("|length - 64|", ("distance",), True, "tokens off the target")
SCORES = {
    "composite": MEASURES[0],
    **{name: Measure(name, (name,), True, "0 to 1") for name in ("rouge_l", "meteor", "bleu")},
    "distance": DISTANCE,
}  # fmt: skip
ABLATIONS = {
    "no label for the end of turn": "trainer.train_end_of_turn=false",
    "ratio against itself": "loss=study",
    "bfloat16 rounded to nearest": "trainer.precision=bf16",
    "in turn, no prefetch": "rollout.max_staleness=0",
    "sync every 5 steps": "rollout.max_staleness=4",
}
"""What is changed of the sound length-only run, by an override that no other has."""

Steps = list[dict[str, float]]


def read(folder: Path) -> dict[str, list[Configuration]]:
    """The configurations of each sweep below `folder`; unfinished runs are left out."""
    sweeps: dict[str, list[Configuration]] = {}
    for sweep in sorted(path for path in folder.iterdir() if path.is_dir()):
        runs = [read_run(file.parent) for file in sorted(sweep.glob("*/tags.json"))]
        if finished_runs := [run for run in runs if run.finished]:
            sweeps[sweep.name] = configurations(finished_runs)
    return sweeps


def steps_of(run: Run) -> Steps:
    """The metrics of each training step of a run."""
    return [line for line in read_metrics(run.folder) if "reward/mean" in line]


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


def late_distance(run: Run) -> float:
    """Mean over the later steps of how far a step's mean completion length is off the target."""
    return fmean(
        abs(line["length/mean"] - TARGET) for line in steps_of(run) if line["step"] > LATER
    )


def between_runs(
    a: Configuration, b: Configuration, number: Callable[[Run], float]
) -> dict[str, Any]:
    """`a - b` of one number a run; Welch, 1947."""
    of_a, of_b = ([number(run) for run in side.runs] for side in (a, b))
    test = stats.ttest_ind(of_a, of_b, equal_var=False)
    low, high = test.confidence_interval()
    return {
        "a": of_a, "b": of_b, "difference": fmean(of_a) - fmean(of_b),
        "interval": [float(low), float(high)], "p": float(test.pvalue),
    }  # fmt: skip


def side_of(each: Configuration) -> Side:
    """Its summaries after training, with how far each is off the target."""
    side = after_training(each)
    tables = tuple(
        {key: {**row, "distance": abs(row["length"] - TARGET)} for key, row in table.items()}
        for table in side.tables
    )
    return Side(side.name, tables, side.target)


def tested(a: Configuration, b: Configuration, names: Iterable[str]) -> dict[str, Any]:
    """`a - b` on the test split, by each score, over examples and seeds."""
    return {name: numbers(compare(side_of(a), side_of(b), SCORES[name])) for name in names}


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


def one(every: Iterable[Configuration], reward: str, strategy: str, *words: str) -> Any:
    """The configuration of that reward and strategy whose overrides have all `words`; or None."""
    found = [
        each
        for each in every
        if (each.reward, each.strategy) == (reward, strategy)
        # Hydra writes False in a sweep where false was typed.
        and all(word in each.runs[0].tags["overrides"].lower().split() for word in words)
    ]
    return found[0] if len(found) == 1 else None


def ablations(sweeps: Mapping[str, list[Configuration]]) -> dict[str, Any]:
    """Each change of the sound length-only run against it."""
    base = one(sweeps.get("generated_sound", ()), "length", "joint")
    found = {}
    for name, word in ABLATIONS.items():
        changed = one(sweeps.get("generated_ablations", ()), "length", "joint", word)
        if base and changed:
            found[name] = {
                "distance_while_training": between_runs(changed, base, late_distance),
                "test": tested(changed, base, ("distance", "composite")),
                **mechanics([changed]),
            }
    return found


def own_scores(every: Sequence[Configuration]) -> dict[str, Any]:
    """Whether a reward raises the score that it rewards, over length alone."""
    base = one(every, "length", "joint")
    found = {}
    for reward, score in (("rouge", "rouge_l"), ("meteor", "meteor"), ("bleu", "bleu")):
        for strategy in ("joint", "staged"):
            if base and (each := one(every, reward, strategy)):
                found[f"{reward} {strategy}"] = tested(each, base, [score])[score]
    return found


def settings_compared(sweeps: Mapping[str, list[Configuration]]) -> dict[str, Any]:
    """The study's setting against the sound one, reward by reward."""
    sound, study = (sweeps.get(name, []) for name in SETTINGS)
    found = {}
    for each in study:
        other = one(sound, each.reward, each.strategy)
        if other:
            names = ("distance", "composite", "rouge_l", "meteor")
            found[f"{each.reward} {each.strategy}"] = tested(each, other, names)
    return found


def unsmoothed_bleu(sweeps: Mapping[str, list[Configuration]]) -> dict[str, Any]:
    """What BLEU rewards in a group, smoothed and not, and what rewarding it changes."""
    sound, study = (sweeps.get(name, []) for name in SETTINGS)
    cases = {
        "sound": (one(sound, "bleu", "joint"), one(sound, "length", "joint")),
        "sound, unsmoothed": (
            one(sweeps.get("generated_ablations", ()), "bleu", "joint"),
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
    """Pearson's r of mean length and mean judged scores over a strategy's configurations, as in
    the study's tables; its numbers there are 0.99 and 0.94 for coverage of staged."""
    found = {}
    for strategy in ("joint", "staged"):
        sides = [side_of(each) for each in every if each.strategy == strategy]
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


def lengths_while_training(lines: Mapping[str, Configuration]) -> Picture:
    """Mean completion length by step, a line a configuration."""
    with canvas(8, 3.4) as figure:
        axes = figure.subplots()
        for (name, each), colour in zip(lines.items(), COLOURS, strict=False):
            series = [{int(s["step"]): s["length/mean"] for s in steps_of(r)} for r in each.runs]
            steps, values = curve(series)
            axes.plot(steps, smoothed(values.tolist()), color=colour, lw=1.6, label=name)
        axes.axhline(TARGET, color=INK, lw=1, ls=(0, (1, 2)))
        axes.set_xlabel("step")
        axes.set_ylabel("completion length, tokens")
        axes.grid(axis="y")
        figure.legend(loc="outside right upper")
        return finished(figure, "lengths")


def smoothed(values: Sequence[float], window: int = 5) -> list[float]:
    """The mean of up to `window` values that end at each."""
    return [fmean(values[max(0, end - window) : end]) for end in range(1, len(values) + 1)]


def draw(sweeps: Mapping[str, list[Configuration]], folder: Path) -> None:
    lines = {
        "sound": one(sweeps.get("generated_sound", ()), "length", "joint"),
        "study": one(sweeps.get("generated_study", ()), "length", "joint"),
    }
    for name, word in ABLATIONS.items():
        lines[name] = one(sweeps.get("generated_ablations", ()), "length", "joint", word)
    there = {name: each for name, each in lines.items() if each is not None}
    lengths_while_training(there).write(folder, "study_lengths")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=Path)
    given = parser.parse_args(arguments)
    sweeps = read(given.folder)
    report = {
        "mechanics": {name: mechanics(every) for name, every in sweeps.items()},
        "seeds": {name: spread_of_seeds(every) for name, every in sweeps.items()},
        "ablations": ablations(sweeps),
        "study_against_sound": settings_compared(sweeps),
        "own_scores": {name: own_scores(sweeps[name]) for name in SETTINGS if name in sweeps},
        "bleu": unsmoothed_bleu(sweeps),
        "length_and_scores": {
            name: length_and_coverage(sweeps[name]) for name in SETTINGS if name in sweeps
        },
    }
    if given.pictures:
        draw(sweeps, given.pictures)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
