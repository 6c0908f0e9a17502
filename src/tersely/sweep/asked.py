"""The jobs that a sweep was asked for, and those of them that have not begun."""

from collections.abc import Sequence
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from tersely.sweep.result import REFUSED, RESULT, JobResult

Overrides = tuple[str, ...]
"""What was asked for on the command line, one job's part of it."""


def jobs_asked(config: DictConfig) -> list[Overrides]:
    """Each job's overrides, in order; empty where nobody knows them beforehand, as with a sweeper
    that chooses each job by what came of the others."""
    if config.hydra.sweeper._target_ != f"{BasicSweeper.__module__}.{BasicSweeper.__qualname__}":
        return []
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    typed = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
    assert isinstance(typed, list)
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    try:
        (jobs,) = BasicSweeper.split_arguments(parser.parse_overrides([*params, *typed]), None)
    except (HydraException, ValueError):  # the sweeper says so itself
        return []
    return [tuple(each for each in job if not each.startswith("hydra.")) for job in jobs]


def not_begun(
    asked: Sequence[Overrides], folder: Path, results: Sequence[JobResult]
) -> list[Overrides]:
    """Those of which the sweep in `folder` has no result, of this attempt or an earlier one."""
    known = {result.overrides for result in results}
    # A job that goes on keeps the overrides that it had first. Hydra writes the newest ones.
    newest = {
        file.read_text(encoding="utf-8")
        for file in folder.glob("*/.hydra/overrides.yaml")
        if any((file.parents[1] / name).exists() for name in (RESULT, REFUSED))
    }
    return [
        each
        for each in asked
        if each not in known and OmegaConf.to_yaml(OmegaConf.create(list(each))) not in newest
    ]
