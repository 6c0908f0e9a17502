"""How the entry scripts start and end: composition errors and known errors as one paragraph.

Exit codes: 0 done, 1 a defect or a failed job of a sweep, 2 something that the user can mend.
`HYDRA_FULL_ERROR=1` shows every traceback.
"""

import os
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from tersely.config import GROUPS
from tersely.errors import TerselyError

FULL_ERROR = "HYDRA_FULL_ERROR"


@dataclass(frozen=True)
class Job:
    """One job, as Hydra started it."""

    folder: Path
    """Everything that the run leaves behind, but for what is shared."""
    overrides: tuple[str, ...]
    """What was asked for on the command line, this job's part of a sweep."""
    seed: int
    choices: Mapping[str, str]
    """Config group to the choice that was made."""
    sweep: str | None
    """The name of the sweep that the job belongs to; None for a single run."""


def current_job(tree: DictConfig) -> Job:
    """The job that Hydra is running now; `tree` is its configuration."""
    config = HydraConfig.get()
    in_sweep = config.mode == RunMode.MULTIRUN
    return Job(
        folder=Path(config.runtime.output_dir),
        overrides=tuple(config.overrides.task),
        seed=int(tree.seed),
        choices={group: config.runtime.choices[group] for group in GROUPS},
        sweep=Path(config.sweep.dir).name if in_sweep else None,
    )


def guarded(main: Callable[[], None]) -> None:
    """Run a Hydra application; print what the user can mend as one paragraph, exit code 2."""
    wanted = os.environ.get(FULL_ERROR)
    # Hydra prints errors its own way and leaves with code 1, unless full errors are asked for.
    os.environ[FULL_ERROR] = "1"
    try:
        main()
    except (TerselyError, HydraException, OmegaConfBaseException) as error:
        if wanted is not None and wanted != "0":
            raise
        print(paragraph(error), file=sys.stderr)
        sys.exit(2)


def paragraph(error: Exception) -> str:
    """The message of an error as one wrapped paragraph."""
    if isinstance(error, TerselyError):
        text = str(error)
    else:
        text = " ".join(_worth_saying(error)) + " See `python train.py --help`."
    return "\n" + textwrap.fill(f"Error: {text}", width=96, break_on_hyphens=False) + "\n"


def _worth_saying(error: Exception) -> list[str]:
    """The lines of a composition error without Hydra's search path and object types."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    for place, line in enumerate(lines):
        if line.startswith(("Config search path", "full_key", "object_type", "reference_type")):
            lines = lines[:place]
            break
    return [line if line.endswith((".", ":", "?")) else f"{line}." for line in lines]
