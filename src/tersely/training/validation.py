"""Looks at the validation split while a stage goes on: which weights were best, and when to end."""

import logging
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from tersely.errors import CheckpointError, ConfigError
from tersely.training.config import TrainerConfig

log = logging.getLogger(__name__)

LOWER_IS_BETTER = {"length_mean_abs_error", "length_std"}


class Validation:
    """The looks of one stage."""

    def __init__(
        self,
        trainer: TrainerConfig,
        look: Callable[[], Mapping[str, float]],
        keep_best: Callable[[int], None],
    ) -> None:
        """`look()` scores the policy as it is now; `keep_best(step)` keeps it."""
        self._every, self._best_by = trainer.evaluate_every, trainer.best_by
        self._patience = trainer.patience
        self._look, self._keep_best = look, keep_best
        self._best = math.nan
        self._last = self._since = 0
        self.best_step = 0
        """After which the policy was the best; 0 before the first look."""

    @property
    def ended(self) -> bool:
        """Whether the stage is to end, having found nothing better for `trainer.patience` looks."""
        return self._patience is not None and self._since >= self._patience

    @property
    def goes_back(self) -> bool:
        """Whether the stage is to end with its best weights, and these are not the last ones."""
        return self._patience is not None and 0 < self.best_step < self._last

    def after(self, step: int) -> dict[str, float]:
        """`validation/...` of the policy after `step` steps; empty where no look is due."""
        self._last = step
        if self._every is None or step % self._every:
            return {}
        measured = self._look()
        self._compare(step, measured[self._best_by])
        if self.ended:
            log.info(
                "the stage ends after step %d: %s was best after step %d (%.4g), and the %d looks "
                "since found nothing better",
                *(step, self._best_by, self.best_step, self._best, self._since),
            )
        return {f"validation/{name}": value for name, value in measured.items()}

    def state(self) -> dict[str, Any]:
        """What counts over steps; for `restore`."""
        return {
            "best": self._best,
            "best_step": self.best_step,
            "since": self._since,
            "last": self._last,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._best, self.best_step = state["best"], state["best_step"]
        self._since, self._last = state["since"], state["last"]

    def _compare(self, step: int, value: float) -> None:
        if not self._is_better(value):
            self._since += 1
            return
        try:
            self._keep_best(step)
        except CheckpointError as error:
            log.error("%s. Training goes on, and the best before it stays the best", error)
            return
        self._best, self.best_step, self._since = value, step, 0

    def _is_better(self, value: float) -> bool:
        if not math.isfinite(value) or math.isnan(self._best):
            return math.isfinite(value)
        return value < self._best if self._best_by in LOWER_IS_BETTER else value > self._best


def check_best_by(trainer: TrainerConfig, measured: Collection[str]) -> None:
    """Raise `ConfigError` where `trainer.best_by` is none of what a look measures, or no quality:
    a summary is not the better the longer it is."""
    lengths = {name for name in measured if name.startswith("length_")} - LOWER_IS_BETTER
    qualities = sorted(set(measured) - lengths)
    if trainer.evaluate_every is not None and trainer.best_by not in qualities:
        raise ConfigError(
            f"trainer.best_by={trainer.best_by} is no quality that is measured on the validation "
            f"split; set one of {', '.join(qualities)}"
        )
