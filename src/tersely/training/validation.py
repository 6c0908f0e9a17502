"""Looks at the validation split while a stage goes on: which weights were best, and when to end."""

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

from tersely.errors import ConfigError
from tersely.training.config import TrainerConfig

log = logging.getLogger(__name__)

LOWER_IS_BETTER = {"length_mean_abs_error", "length_std"}


class Validation:
    """The looks of one stage."""

    def __init__(
        self,
        trainer: TrainerConfig,
        look: Callable[[], Mapping[str, float]],
        keep_best: Callable[[], None],
    ) -> None:
        """`look()` scores the policy as it is now; `keep_best()` keeps it."""
        self._every, self._best_by = trainer.evaluate_every, trainer.best_by
        self._patience = trainer.patience
        self._look, self._keep_best = look, keep_best
        self._best: float | None = None
        self._best_step = self._since = 0

    @property
    def ended(self) -> bool:
        """Whether the stage is to end, having found nothing better for `trainer.patience` looks."""
        return self._patience is not None and self._since >= self._patience

    @property
    def goes_back(self) -> bool:
        """Whether the stage goes on from its best weights, and these are not the last ones."""
        return self._patience is not None and self._since > 0

    def after(self, step: int) -> dict[str, float]:
        """`validation/...` of the policy after `step` steps; empty where no look is due.

        Raises `ConfigError` where there is no metric of the name `trainer.best_by`.
        """
        if self._every is None or step % self._every:
            return {}
        measured = self._look()
        if self._best_by not in measured:
            raise ConfigError(
                f"trainer.best_by={self._best_by} is not measured on the validation split; set "
                f"one of {', '.join(sorted(measured))}"
            )
        value = measured[self._best_by]
        if self._is_better(value):
            self._best, self._best_step, self._since = value, step, 0
            self._keep_best()
        else:
            self._since += 1
        if self.ended:
            log.info(
                "the stage ends after step %d: %s was best after step %d (%.4g), and the %d looks "
                "since found nothing better",
                step,
                self._best_by,
                self._best_step,
                math.nan if self._best is None else self._best,
                self._since,
            )
        return {f"validation/{name}": value for name, value in measured.items()}

    def state(self) -> dict[str, Any]:
        """What counts over steps; for `restore`."""
        return {"best": self._best, "best_step": self._best_step, "since": self._since}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._best, self._best_step = state["best"], state["best_step"]
        self._since = state["since"]

    def _is_better(self, value: float) -> bool:
        if self._best is None:
            return True
        return value < self._best if self._best_by in LOWER_IS_BETTER else value > self._best
