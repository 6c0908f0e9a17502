"""`evaluate`: the scores of a run, a checkpoint or a model as it is."""

import hydra
from omegaconf import DictConfig

from tersely.config import CONF, register
from tersely.evaluation_config import EVALUATE
from tersely.evaluation_job import perform
from tersely.job import recorded
from tersely.launch import current_job, guarded, mendable

register(EVALUATE)


def main(tree: DictConfig) -> None:
    """One evaluation; in a sweep, one job of it."""
    job = current_job(tree, EVALUATE)
    with mendable(EVALUATE), recorded(job) as outcome:
        perform(tree, job, outcome)


def start() -> None:
    """Do what was typed."""
    guarded(
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="evaluate")(main),
        EVALUATE,
    )
