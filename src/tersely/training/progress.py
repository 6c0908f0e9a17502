"""What a person sees of training: a bar on a terminal, a line every few seconds elsewhere."""

import logging
import sys
import time
from collections import deque
from collections.abc import Mapping
from statistics import fmean
from types import TracebackType
from typing import Self

from tersely.tracking.tracker import Tracker

log = logging.getLogger(__name__)

LAST = 10
"""Steps whose mean stands for the end of a stage; a single step's rewards are noise."""

LINE_EVERY = 5.0
"""Seconds between two lines where there is no terminal."""


class StageProgress:
    """Shows the steps of one stage and passes their metrics on to the tracker."""

    def __init__(self, name: str, steps: int, tracker: Tracker, first_step: int) -> None:
        """`first_step` is how many steps earlier stages of the run have taken, so that the
        tracker sees one unbroken axis."""
        self._name, self._steps = name, steps
        self._tracker, self._offset = tracker, first_step
        self._began = self._said = time.monotonic()
        self._recent: deque[Mapping[str, float]] = deque(maxlen=LAST)

    def __enter__(self) -> Self:
        from tqdm import tqdm

        # On a terminal tqdm draws; elsewhere `disable` makes it silent and lines are logged.
        self._bar = tqdm(
            total=self._steps,
            desc=self._name,
            unit="step",
            disable=not sys.stderr.isatty(),
            dynamic_ncols=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Report step `step` of this stage, counted from 1."""
        self._tracker.metrics(metrics, self._offset + step)
        self._recent.append(metrics)
        said = {
            "reward": f"{metrics['reward/mean']:.3f}",
            "length": f"{metrics['length/mean']:.0f}",
            "tokens/s": f"{metrics['speed/tokens_per_second']:.0f}",
        }
        self._bar.set_postfix(said, refresh=False)
        self._bar.update()
        now = time.monotonic()
        if self._bar.disable and (now - self._said > LINE_EVERY or step in (1, self._steps)):
            left = (now - self._began) / step * (self._steps - step)
            words = ", ".join(f"{name} {value}" for name, value in said.items())
            log.info(
                "%s: step %d of %d, %s, %.0f s left", self._name, step, self._steps, words, left
            )
            self._said = now

    def recent_rewards(self) -> dict[str, float]:
        """Mean of each reward over the last steps of the stage."""
        names = [
            name
            for name in self._recent[-1]
            if name.startswith("reward/") and not name.endswith(("within_group", "zero_std_share"))
        ]
        return {name: fmean(metrics[name] for metrics in self._recent) for name in names}
