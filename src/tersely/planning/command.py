"""`--dry-run`: plan the jobs of a command, and start none."""

import re
import time
from collections.abc import Sequence
from typing import Any

from tersely.config import TRAIN, App
from tersely.errors import ConfigError
from tersely.launch import DRY_RUN
from tersely.planning.apart import say_on_stderr
from tersely.planning.jobs import jobs_of
from tersely.planning.plan import plan_of
from tersely.planning.text import plan_text
from tersely.planning.words import duration

STEPS = 3
"""Measured after the first one."""

MOST_STEPS = 1000


def dry_run(arguments: Sequence[str], app: App[Any] = TRAIN) -> int:
    """Print the plan of the jobs that `arguments` stand for. The exit code: 0, or 2 where a job
    is refused or its costs could not be measured.

    Raises ConfigError, and Hydra's errors, where nothing can be said of any job.
    """
    if app is not TRAIN:
        raise ConfigError(f"--dry-run plans training runs; {app.called()} has none")
    began = time.monotonic()
    say_on_stderr()
    steps = _steps([each for each in arguments if _is_flag(each)])
    jobs = jobs_of([each for each in arguments if not _is_flag(each)])
    plan = plan_of(jobs, steps)
    print(plan_text(plan))
    print(f"\nNothing was started or kept; this took {duration(time.monotonic() - began)}.")
    return 0 if plan.complete else 2


def _is_flag(argument: str) -> bool:
    return argument.partition("=")[0] == DRY_RUN


def _steps(flags: Sequence[str]) -> int:
    """How many steps are to be measured."""
    _, given, text = flags[-1].partition("=")
    if not given:
        return STEPS
    if not re.fullmatch("[0-9]{1,4}", text) or not 1 <= int(text) <= MOST_STEPS:
        raise ConfigError(
            f"{flags[-1]} must say how many steps are measured, 1 to {MOST_STEPS}; without a "
            f"number they are {STEPS}"
        )
    return int(text)
