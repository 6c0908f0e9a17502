"""Score a run, a checkpoint or a model as it is: `python evaluate.py --help`."""

import hydra
from omegaconf import DictConfig

from tersely.config import register
from tersely.evaluation_config import EVALUATE
from tersely.evaluation_job import perform
from tersely.job import recorded
from tersely.launch import current_job, guarded, mendable

register(EVALUATE)


@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
def main(tree: DictConfig) -> None:
    """One evaluation; in a sweep, one job of it."""
    job = current_job(tree, EVALUATE)
    with mendable(EVALUATE), recorded(job) as outcome:
        perform(tree, job, outcome)


if __name__ == "__main__":
    guarded(main, EVALUATE)
