"""What earlier attempts have left of a job, by the files that they leave."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tersely.errors import ConfigError
from tersely.planning.jobs import Jobs, Planned
from tersely.planning.left import Done, done_of
from tersely.sweep.result import JobResult
from tersely.whole_file import write_json

STAGED = ("-m", "hydra.sweep.dir=night", "strategy=staged", "trainer.steps=20")


def begun(job: Planned) -> Path:
    """The folder of an attempt that has written down what it is."""
    folder = job.job.folder
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(job.yaml)
    write_json(folder / "choices.json", dict(job.job.choices))
    return folder


def checkpoint(folder: Path, name: str, stage: str | None = None, step: int = 0) -> None:
    """Its files, as far as the planner looks at them."""
    place = folder / "checkpoints" / name
    place.mkdir(parents=True)
    (place / "manifest.json").write_text("{}")
    if stage is not None:
        state = {"stage": stage, "step": step, "in_flight": [], "history": {}}
        (place / "training_state.json").write_text(json.dumps(state))


def test_nothing_is_done_where_no_folder_is(jobs: Callable[..., Jobs]) -> None:
    (job,) = jobs(*STAGED).planned
    assert Done() == done_of(job)
    assert not done_of(job).begun


def test_a_job_that_has_finished_is_done(jobs: Callable[..., Jobs]) -> None:
    (job,) = jobs(*STAGED).planned
    JobResult("FINISHED").write(begun(job))
    assert Done(finished=True) == done_of(job)


def test_one_that_was_killed_goes_on_from_its_newest_checkpoint(jobs: Callable[..., Jobs]) -> None:
    """Steps are counted in the stage: 24 of the run are 4 of its second stage."""
    (job,) = jobs(*STAGED).planned
    folder = begun(job)
    JobResult("KILLED").write(folder)
    write_json(folder / "test_before.json", {"scores": {}})
    checkpoint(folder, "after_length")
    checkpoint(folder, "step_000022", "quality", 2)
    checkpoint(folder, "step_000024", "quality", 4)
    checkpoint(folder, "damaged_step_000026", "quality", 6)
    done = done_of(job)
    assert (True, False, {"length"}) == (done.scored_before, done.trained, set(done.ended))
    assert {"quality": 4} == done.steps
    assert done.begun


@pytest.mark.parametrize("text", ["{", "[]", '{"stage": "quality"}'])
def test_a_checkpoint_that_is_broken_counts_no_steps(jobs: Callable[..., Jobs], text: str) -> None:
    """Nor hides those of the one before it."""
    (job,) = jobs(*STAGED).planned
    folder = begun(job)
    checkpoint(folder, "step_000022", "quality", 2)
    checkpoint(folder, "step_000024", "quality", 4)
    (folder / "checkpoints" / "step_000024" / "training_state.json").write_text(text)
    assert {"quality": 2} == done_of(job).steps


def test_one_that_has_its_last_checkpoint_is_trained(jobs: Callable[..., Jobs]) -> None:
    (job,) = jobs(*STAGED).planned
    checkpoint(begun(job), "final")
    assert done_of(job).trained


def test_a_folder_of_another_run_is_refused(jobs: Callable[..., Jobs]) -> None:
    """With the keys that differ, as a run would say."""
    named = ("-m", "hydra.sweep.dir=night", "hydra.sweep.subdir=one")
    (job,) = jobs(*named, "trainer.steps=10").planned
    JobResult("FINISHED").write(begun(job))
    (other,) = jobs(*named, "trainer.steps=20").planned
    with pytest.raises(ConfigError, match="is 10 there and 20 here"):
        done_of(other)
