"""Train a policy by a reward: `python train.py`, or a sweep with `-m`. See `--help`."""

import hydra
from omegaconf import DictConfig

from tersely.config import load, register, resolved_yaml
from tersely.job import perform, recorded
from tersely.launch import current_job, guarded, mendable

register()


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(tree: DictConfig) -> None:
    """One run; in a sweep, one job of it."""
    job = current_job(tree)
    with mendable(), recorded(job) as outcome:
        perform(load(tree), resolved_yaml(tree), job, outcome)


if __name__ == "__main__":
    guarded(main)
