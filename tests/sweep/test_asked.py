"""Which jobs of a sweep have not begun."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from tersely.config import CONF, register
from tersely.sweep.asked import jobs_asked, not_begun
from tersely.sweep.result import JobResult, read_results


@pytest.mark.parametrize(
    ("typed", "jobs"),
    [
        (("seed=0,1", "+reward=bleu"), [("seed=0", "+reward=bleu"), ("seed=1", "+reward=bleu")]),
        (("reward=glob(leng*)",), [("reward=length",)]),
        (("hydra.sweep.dir=night",), [()]),
    ],
)
def test_they_are_what_the_sweeper_starts(
    typed: tuple[str, ...], jobs: list[tuple[str, ...]]
) -> None:
    """Written as a job has its overrides, without what is Hydra's own."""
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        tree = compose("config", ["hydra.mode=MULTIRUN"], return_hydra_config=True)
        tree.hydra.overrides.task = list(typed)
        assert jobs == jobs_asked(tree)


def test_of_another_sweeper_nothing_is_known() -> None:
    sweeper = {"_target_": "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper"}
    assert [] == jobs_asked(OmegaConf.create({"hydra": {"sweeper": sweeper}}))


def test_a_job_that_has_a_result_has_begun(tmp_path: Path) -> None:
    """Of this attempt or an earlier one, whose overrides were in another order. A folder without
    a result is of a job that came after the end was asked for."""
    for name, first, newest in (
        ("finished", ("seed=0", "reward=bleu"), ("reward=bleu", "seed=0")),
        ("passed_over", None, ("reward=bleu", "seed=1")),
        ("without_hydras_files", ("reward=bleu", "seed=2"), None),
    ):
        folder = tmp_path / name
        (folder / ".hydra").mkdir(parents=True)
        if first is not None:
            JobResult("FINISHED", first).write(folder)
        if newest is not None:
            OmegaConf.save(OmegaConf.create(list(newest)), folder / ".hydra" / "overrides.yaml")
    asked = [("reward=bleu", f"seed={seed}") for seed in range(4)]
    assert asked[1::2] == not_begun(asked, tmp_path, read_results(tmp_path))
