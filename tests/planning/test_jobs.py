"""The jobs that a command stands for."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.errors import HydraException

from tersely.errors import ConfigError
from tersely.planning.jobs import TOGETHER, Jobs
from tersely.sweep.names import job_slug


def test_a_sweep_is_composed_job_by_job(jobs: Callable[..., Jobs], tmp_path: Path) -> None:
    """In Hydra's order, in the folders that Hydra would make; and none is made."""
    found = jobs("-m", "hydra.sweep.dir=multirun/night", "reward=rouge,meteor", "seed=0,1")
    assert [(0, 0, "rouge"), (1, 1, "rouge"), (2, 0, "meteor"), (3, 1, "meteor")] == [
        (each.number, each.config.seed, each.job.choices["reward"]) for each in found.planned
    ]
    folder = tmp_path / "multirun" / "night"
    assert folder == found.folder
    assert folder / job_slug(["reward=meteor", "seed=1"]) == found.planned[3].job.folder
    assert ["night"] * 4 == [each.job.sweep for each in found.planned]
    assert "basic" == found.launcher
    assert [] == list(tmp_path.iterdir())


def test_a_single_run_is_one_job(jobs: Callable[..., Jobs], tmp_path: Path) -> None:
    found = jobs("hydra.run.dir=here", "trainer.steps=3")
    (job,) = found.planned
    assert (None, None, tmp_path / "here") == (found.launcher, job.job.sweep, job.job.folder)
    assert ("trainer.steps=3",) == job.overrides
    assert 3 == job.config.trainer.steps


def test_all_refused_jobs_are_named(jobs: Callable[..., Jobs]) -> None:
    """Also where Hydra would start none, because one cannot be composed."""
    found = jobs("-m", "trainer.steps=0,1", "rollout.group_size=1,8,many")
    assert [4] == [each.number for each in found.planned]
    reasons = {each.number: each.reason for each in found.refused}
    assert [0, 1, 2, 3, 5] == list(reasons)
    assert "trainer.steps must be at least 1, got 0" in reasons[1]
    assert "rollout.group_size must be at least 2, got 1" in reasons[3]
    assert "could not be converted to Integer" in reasons[5] and reasons[5].endswith(f"{TOGETHER}.")
    assert ("trainer.steps=1", "rollout.group_size=many") == found.refused[-1].overrides


def test_a_sweep_may_be_asked_for_by_an_experiment(
    jobs: Callable[..., Jobs], tmp_path: Path
) -> None:
    """As Hydra has it, in a file of one's own."""
    file = tmp_path / "conf" / "experiment" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(
        "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      seed: 2,3\n"
    )
    own = f"hydra.searchpath=[file://{tmp_path / 'conf'}]"
    found = jobs(own, "experiment=mine", "reward=rouge,bleu")
    assert [2, 2, 3, 3] == [each.config.seed for each in found.planned]
    assert ("seed=2", "experiment=mine", "reward=bleu") == found.planned[1].overrides


def test_a_launcher_is_named_and_not_asked(jobs: Callable[..., Jobs]) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    found = jobs("-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=0,1")
    assert ("joblib", 2) == (found.launcher, len(found.planned))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--cfg", "job"), "cannot be combined with --cfg"),
        (("reward=rouge,meteor",), "add --multirun"),
        (("-m", "trainer.stepz=1"), "trainer.stepz"),
        (("tracking=null",), "name one of a group's choices"),
    ],
)
def test_nothing_can_be_said_of_these(
    jobs: Callable[..., Jobs], arguments: tuple[str, ...], said: str
) -> None:
    with pytest.raises((ConfigError, HydraException), match=said):
        jobs(*arguments)
