"""The learning rate of each update of a stage."""

from collections.abc import Callable

import mlx.core as mx
from mlx.optimizers import cosine_decay, join_schedules, linear_schedule

from tersely.errors import ConfigError
from tersely.training.config import Schedule, TrainerConfig

Rates = Callable[[mx.array], mx.array]
"""From the number of updates so far to the rate of the next."""


def learning_rate(peak: float, schedule: Schedule, warmup: int, updates: int) -> float | Rates:
    """What an MLX optimizer takes as its learning rate, for a stage of `updates` updates.

    Updates are counted from 1. Update n of the warm-up has the rate `peak * n / warmup`, so
    update `warmup` has the peak; without a warm-up the first update has it. From there the rate
    falls to the 0 that it would reach one update after the last: no update is spent on a rate
    of 0. Raises `ConfigError` where the stage ends before its warm-up.
    """
    if warmup > updates:
        raise ConfigError(
            f"trainer.warmup_updates={warmup} is longer than a stage of {updates} updates, which "
            f"would never reach trainer.learning_rate; set it to at most {updates}"
        )
    # Updates before the one that has the peak.
    rising = max(0, warmup - 1)
    if rising == 0 and schedule is Schedule.constant:
        return peak
    rates = _from_peak(peak, schedule, updates - rising)
    if rising:
        rates = join_schedules([linear_schedule(peak / warmup, peak, rising), rates], [rising])
    return rates


def rates_of(trainer: TrainerConfig, steps: int) -> float | Rates:
    """The learning rates of a stage of `steps` steps; see `learning_rate`."""
    updates = steps * trainer.updates_per_step
    return learning_rate(trainer.learning_rate, trainer.schedule, trainer.warmup_updates, updates)


def _from_peak(peak: float, schedule: Schedule, updates: int) -> Rates:
    decay = {
        Schedule.constant: lambda: linear_schedule(peak, peak, updates),
        Schedule.linear: lambda: linear_schedule(peak, 0.0, updates),
        Schedule.cosine: lambda: cosine_decay(peak, updates),
    }
    rates: Rates = decay[schedule]()
    return rates
