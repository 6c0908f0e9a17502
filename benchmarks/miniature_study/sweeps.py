"""The sweeps of docs/study.md: their runs, and which configuration is which."""

from collections.abc import Iterable
from pathlib import Path

from tersely.analysis.configurations import Configuration, configurations
from tersely.analysis.runs import Run, read_run
from tersely.tracking.folder_run import read_metrics

POSTS = ("generated", "real")
"""Each has a sweep `<posts>_sound` and one `<posts>_study`."""
ABLATIONS = {
    "no label for the end of turn": {"trainer.train_end_of_turn=false"},
    "ratio against itself": {"loss=study"},
    "bfloat16 rounded to nearest": {"trainer.precision=bf16"},
    "no bias correction": {"trainer.bias_correction=false"},
    "rounded, no bias correction": {"trainer.precision=bf16", "trainer.bias_correction=false"},
    "in turn, no prefetch": {"rollout.max_staleness=0"},
    "sync every 5 steps": {"rollout.sync_every=5", "rollout.max_staleness=4"},
}
"""What is changed of the sound length-only run, as it was typed."""
CHANGES = ("loss=", "trainer.", "rollout.", "reward.")
"""How an override begins that changes the setting; the others choose a run within it."""

Steps = list[dict[str, float]]
Sweeps = dict[str, list[Configuration]]


def read(folder: Path) -> Sweeps:
    """The configurations of each sweep below `folder`; unfinished runs are left out."""
    sweeps: Sweeps = {}
    for sweep in sorted(path for path in folder.iterdir() if path.is_dir()):
        runs = [read_run(file.parent) for file in sorted(sweep.glob("*/tags.json"))]
        if finished_runs := [run for run in runs if run.finished]:
            sweeps[sweep.name] = configurations(finished_runs)
    return sweeps


def steps_of(run: Run) -> Steps:
    """The metrics of each training step of a run; none where it took its stages from others."""
    return [line for line in read_metrics(run.folder) if "reward/mean" in line]


def one(
    every: Iterable[Configuration], reward: str, strategy: str, changes: Iterable[str] = ()
) -> Configuration | None:
    """The configuration of that reward and strategy with exactly these changes, if it is there."""
    found = [
        each
        for each in every
        if (each.reward, each.strategy) == (reward, strategy) and changes_of(each) == set(changes)
    ]
    return found[0] if len(found) == 1 else None


def changes_of(each: Configuration) -> set[str]:
    # Hydra writes False in a sweep where false was typed.
    words = each.runs[0].tags["overrides"].lower().split()
    return {word for word in words if word.startswith(CHANGES)}
