"""`train`: a run, or a sweep of them."""

import hydra
from omegaconf import DictConfig

from tersely.config import CONF, load, register, resolved_yaml
from tersely.job import perform, recorded
from tersely.launch import current_job, guarded, mendable

register()


def main(tree: DictConfig) -> None:
    """One run; in a sweep, one job of it."""
    job = current_job(tree)
    with mendable(), recorded(job) as outcome:
        perform(load(tree), resolved_yaml(tree), job, outcome)


def start() -> None:
    """Do what was typed."""
    guarded(hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(main))
