"""The pictures of docs/study.md: how completion lengths come to the target."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from miniature_study.sweeps import ABLATIONS, Sweeps, one, steps_of
from tersely.analysis.configurations import Configuration
from tersely.analysis.curve_figures import curve
from tersely.analysis.drawing import COLOURS, INK, Picture, canvas, finished

TARGET = 64
"""Tokens."""
TOGETHER = ("bfloat16 rounded to nearest", "no bias correction", "rounded, no bias correction")
"""Changes that are drawn with the study's setting, which has all of them."""
BY_THEMSELVES = set(ABLATIONS) - set(TOGETHER[1:])
"""The others, and rounding: drawn with the sound setting."""


def draw(sweeps: Sweeps, folder: Path) -> None:
    """`study_lengths`, one change a line, and `study_setting`, the study's beside its parts."""
    ablations = sweeps.get("generated_ablations", ())
    sound = {"sound": one(sweeps.get("generated_sound", ()), "length", "joint")}
    changed = {name: one(ablations, "length", "joint", ABLATIONS[name]) for name in ABLATIONS}
    study = {"the study's": one(sweeps.get("generated_study", ()), "length", "joint")}
    alone = {name: changed[name] for name in ABLATIONS if name in BY_THEMSELVES}
    write(sound | alone, folder, "study_lengths")
    write(sound | {name: changed[name] for name in TOGETHER} | study, folder, "study_setting")


def write(lines: Mapping[str, Configuration | None], folder: Path, name: str) -> None:
    """A picture of those that are there; none where nothing but the sound setting is."""
    there = {label: each for label, each in lines.items() if each is not None}
    if there.keys() - {"sound"}:
        lengths_while_training(there, name).write(folder, name)


def lengths_while_training(lines: Mapping[str, Configuration], name: str) -> Picture:
    """Mean completion length by step, a line a configuration."""
    with canvas(8, 3.4) as figure:
        axes = figure.subplots()
        for (label, each), colour in zip(lines.items(), COLOURS, strict=False):
            series = [{int(s["step"]): s["length/mean"] for s in steps_of(r)} for r in each.runs]
            steps, values = curve(series)
            axes.plot(steps, smoothed(values.tolist()), color=colour, lw=1.6, label=label)
        axes.axhline(TARGET, color=INK, lw=1, ls=(0, (1, 2)))
        axes.set_xlabel("step")
        axes.set_ylabel("completion length, tokens")
        axes.grid(axis="y")
        figure.legend(loc="outside right upper")
        return finished(figure, name)


def smoothed(values: Sequence[float], window: int = 5) -> list[float]:
    """The mean of up to `window` values that end at each."""
    return [fmean(values[max(0, end - window) : end]) for end in range(1, len(values) + 1)]
