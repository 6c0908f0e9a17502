"""A run's numbers as pictures, drawn from the metrics file in its folder."""

import json
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tersely.tracking.drawing import (
    BLUE,
    GREEN,
    RED,
    Panel,
    Series,
    band,
    curve,
    draw,
    histogram,
    target_line,
)
from tersely.tracking.folder_run import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SPREAD = "_std_within_group"
"""What follows a reward's name in the key of its spread."""
NOT_A_TERM = {"reward/mean", "reward/std_within_group", "reward/zero_std_share"}
LOSS = {
    "loss/total": "loss",
    "update/gradient_norm": "gradient norm before the clip",
    "update/changed_share": "share of weights changed",
}
DRIFT = {
    "loss/kl_reference": "KL to the reference, nats",
    "loss/ratio_mean": "ratio that is clipped",
    "loss/clip_share": "share of clipped tokens",
}
STOPPED = {"rollout/stopped_share": "share that stopped by itself"}
SECONDS = {"sampling": BLUE, "updating": GREEN, "waiting": RED}


def draw_curves(run_folder: Path, target: int) -> list[Path]:
    """Draw what the run has measured into `run_folder/curves`; the pictures' paths.

    `target` is the length asked for, in tokens. A picture without metrics is left out.
    """
    series = read_series(run_folder)
    before, after = (read_lengths(run_folder, when) for when in ("before", "after"))
    pictures: dict[str, list[Panel]] = {
        "reward": reward_panels(series),
        "length": length_panels(series, target),
        "loss": plain_panels(series, LOSS),
        "drift": plain_panels(series, DRIFT),
        "seconds": seconds_panels(series),
        "test_lengths": [partial(histogram, before=before, after=after, target=target)]
        if before and after
        else [],
    }
    return [
        draw(run_folder / "curves" / f"{name}.png", panels)
        for name, panels in pictures.items()
        if panels
    ]


def read_series(run_folder: Path) -> dict[str, dict[int, float]]:
    """Metric name -> step -> value; where a step was measured twice, the later value."""
    series: dict[str, dict[int, float]] = defaultdict(dict)
    for line in read_metrics(run_folder):
        step = int(line.pop("step"))
        del line["milliseconds"]
        for key, value in line.items():
            series[key][step] = value
    return dict(series)


def read_lengths(run_folder: Path, when: str) -> list[int]:
    """The `length` of each row of the table `summaries_<when>`; empty where there is none."""
    file = run_folder / "tables" / f"summaries_{when}.jsonl"
    if not file.exists():
        return []
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line)["length"] for line in lines]


def reward_panels(series: Mapping[str, Series]) -> list[Panel]:
    """The mix first, then each term, with the spread within a group where it is known."""
    terms = sorted(
        key
        for key in series
        if key.startswith("reward/") and key not in NOT_A_TERM and not key.endswith(SPREAD)
    )
    panels: list[Panel] = []
    if "reward/mean" in series:
        spread = series.get("reward/std_within_group")
        panels.append(partial(curve, values=series["reward/mean"], label="reward", spread=spread))
    for key in terms:
        spread, label = series.get(key + SPREAD), key.removeprefix("reward/")
        panels.append(partial(curve, values=series[key], label=label, spread=spread))
    return panels


def length_panels(series: Mapping[str, Series], target: int) -> list[Panel]:
    if "length/mean" not in series:
        return []

    def lengths(axes: "Axes") -> None:
        if "length/min" in series and "length/max" in series:
            band(axes, series["length/min"], series["length/max"], "shortest to longest")
        curve(axes, series["length/mean"], "completion length, tokens")
        target_line(axes, target)

    return [lengths, *plain_panels(series, STOPPED)]


def seconds_panels(series: Mapping[str, Series]) -> list[Panel]:
    """Lines, not a stack: sampling goes on while the update is computed."""
    known = {name: series[f"time/{name}"] for name in SECONDS if f"time/{name}" in series}

    def panel(axes: "Axes") -> None:
        for name, values in known.items():
            steps = sorted(values)
            axes.plot(steps, [values[s] for s in steps], color=SECONDS[name], lw=1.5, label=name)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("step")
        axes.set_ylabel("seconds a step")
        axes.legend(frameon=False)

    return [panel] if known else []


def plain_panels(series: Mapping[str, Series], labels: Mapping[str, str]) -> list[Panel]:
    """One panel for each of the labelled metrics that was measured."""
    return [
        partial(curve, values=series[key], label=label)
        for key, label in labels.items()
        if key in series
    ]
