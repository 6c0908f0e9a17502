"""The jobs that a command stands for, composed as Hydra composes them and started by nobody.

No launcher is asked, so that it does not matter which one is chosen, and no folder is made.
"""

import os
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from tersely.config import CONF, TRAIN, Config, load, resolved_yaml
from tersely.errors import ConfigError, TerselyError
from tersely.launch import Job, job_of, message, without_choice

MULTIRUN = {"-m", "--multirun"}

NAME = "config"
"""The file of `conf/` that a run is composed of."""

TOGETHER = "Hydra starts no job of a sweep of which one cannot be composed"


@dataclass(frozen=True)
class Planned:
    """A job that a real run of the command would start."""

    number: int
    job: Job
    config: Config
    yaml: str
    """Its configuration, resolved."""

    @property
    def overrides(self) -> tuple[str, ...]:
        return self.job.overrides


@dataclass(frozen=True)
class Refused:
    """A job that could not be started, or would end at once, and why."""

    number: int
    overrides: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Jobs:
    """All jobs of a command, by number."""

    planned: tuple[Planned, ...]
    refused: tuple[Refused, ...]
    launcher: str | None
    """Hydra's name for what starts the jobs of a sweep; None for a single run."""

    @property
    def folder(self) -> Path | None:
        """Of the sweep, or of the single run; None where no job can be composed."""
        folders = {each.job.folder if self.launcher is None else each.job.folder.parent
                   for each in self.planned}  # fmt: skip
        return folders.pop() if len(folders) == 1 else None

    def without(self, reasons: dict[int, str]) -> "Jobs":
        """With those jobs among the refused ones whose numbers have a reason."""
        refused = [
            Refused(each.number, each.overrides, reasons[each.number])
            for each in self.planned
            if each.number in reasons
        ]
        return replace(
            self,
            planned=tuple(each for each in self.planned if each.number not in reasons),
            refused=tuple(sorted([*self.refused, *refused], key=lambda each: each.number)),
        )


def jobs_of(arguments: Sequence[str]) -> Jobs:
    """The jobs of `train.py` with these arguments, those that are refused for their values too.

    Raises ConfigError and Hydra's errors where nothing can be said of any job.
    """
    options = {each for each in arguments if each.startswith("-")}
    if other := sorted(options - MULTIRUN):
        raise ConfigError(
            f"--dry-run plans the jobs of overrides, with or without -m, and cannot be combined "
            f"with {', '.join(other)}; leave that out"
        )
    overrides = [each for each in arguments if each not in MULTIRUN]
    with initialize_config_dir(str(CONF), job_name=TRAIN.name, version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        try:
            return _jobs(loader, overrides, in_sweep=bool(options))
        except ValueError as error:
            if isinstance(error, OmegaConfBaseException):
                raise
            raise without_choice(error) from error


def _jobs(loader: ConfigLoader, overrides: list[str], *, in_sweep: bool) -> Jobs:
    if not (in_sweep or _wants_sweep(loader, overrides)):
        tree = loader.load_configuration(NAME, [*overrides, "hydra.mode=RUN"], RunMode.RUN)
        return _collected(iter([(tuple(overrides), tree)]), None)
    overrides = [*overrides, "hydra.mode=MULTIRUN"]
    sweep = loader.load_configuration(NAME, overrides, RunMode.MULTIRUN)
    launcher = str(sweep.hydra.runtime.choices["hydra/launcher"])
    return _collected(_trees(loader, sweep), launcher)


def _wants_sweep(loader: ConfigLoader, overrides: list[str]) -> bool:
    """Whether the configuration itself asks for a sweep (`hydra.mode=MULTIRUN`)."""
    tree = loader.load_configuration(
        NAME, overrides, RunMode.MULTIRUN, validate_sweep_overrides=False
    )
    return bool(tree.hydra.mode == RunMode.MULTIRUN)


def _trees(
    loader: ConfigLoader, sweep: DictConfig
) -> Iterator[tuple[tuple[str, ...], DictConfig | Exception]]:
    """The overrides of each job of a sweep, with its configuration or what Hydra says of it."""
    sweeper = str(sweep.hydra.sweeper._target_)
    if sweeper != f"{BasicSweeper.__module__}.{BasicSweeper.__qualname__}":
        raise ConfigError(
            f"hydra/sweeper={sweep.hydra.runtime.choices['hydra/sweeper']} chooses each job by "
            "what came of the others, so nobody knows them beforehand; --dry-run plans what "
            "hydra/sweeper=basic would start"
        )
    params = [f"{key}={value}" for key, value in (sweep.hydra.sweeper.params or {}).items()]
    typed = OmegaConf.to_container(sweep.hydra.overrides.task, resolve=False)
    assert isinstance(typed, list)
    parsed = OverridesParser.create(config_loader=loader).parse_overrides([*params, *typed])
    for batch in BasicSweeper.split_arguments(parsed, None):
        for overrides in batch:
            try:
                yield tuple(overrides), loader.load_sweep_config(sweep, list(overrides))
            except (HydraException, OmegaConfBaseException) as error:
                yield tuple(overrides), error
            except ValueError as error:
                yield tuple(overrides), without_choice(error)


def _collected(
    trees: Iterator[tuple[tuple[str, ...], DictConfig | Exception]], launcher: str | None
) -> Jobs:
    planned: list[Planned] = []
    refused: list[Refused] = []
    for number, (overrides, tree) in enumerate(trees):
        try:
            if isinstance(tree, Exception):
                raise tree
            planned.append(_planned(number, tree, in_sweep=launcher is not None))
        except (TerselyError, HydraException, OmegaConfBaseException) as error:
            reason = message(error)
            if tree is error:
                reason = f"{reason.rstrip('.')}. {TOGETHER}."
            refused.append(Refused(number, overrides, reason))
    return Jobs(tuple(planned), tuple(refused), launcher)


def _planned(number: int, tree: DictConfig, *, in_sweep: bool) -> Planned:
    """What Hydra gives a job beside its configuration: its number and its folder."""
    hydra = HydraConfig.instance()
    before = hydra.cfg
    try:
        with open_dict(tree.hydra.job):
            tree.hydra.job.id, tree.hydra.job.num = str(number), number
        hydra.set_config(tree)  # for `${hydra:...}`
        folder = Path(_text(tree, "hydra.sweep.dir" if in_sweep else "hydra.run.dir"))
        if in_sweep:
            folder /= _text(tree, "hydra.sweep.subdir")
        with read_write(tree.hydra.runtime), open_dict(tree.hydra.runtime):
            tree.hydra.runtime.output_dir = os.path.abspath(folder)
        hydra.set_config(tree)  # which has copied it
        own = deepcopy(tree)
        with read_write(own), open_dict(own):
            del own["hydra"]
        return Planned(number, job_of(own), load(own), resolved_yaml(own))
    finally:
        hydra.cfg = before


def _text(tree: DictConfig, key: str) -> str:
    value: Any = OmegaConf.select(tree, key)
    return str(value)
