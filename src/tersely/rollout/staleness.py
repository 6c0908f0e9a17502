"""Which weights sample which step: a schedule, not a race.

Rollouts are sampled as early as `rollout.max_staleness` allows, from weights that do not depend
on how fast either side is. A run can therefore be repeated bit for bit.
"""

from dataclasses import dataclass

from tersely.errors import ConfigError


@dataclass(frozen=True)
class Schedule:
    """Versions are numbers of optimizer updates; weights are published between steps."""

    max_staleness: int
    """Updates that the rollouts of a step may be behind the step's first update."""
    sync_every: int = 1
    """Steps between two publications."""
    updates_per_step: int = 1

    def __post_init__(self) -> None:
        """Raises `ConfigError` where rollouts would have to be staler than is allowed."""
        needed = (self.sync_every - 1) * self.updates_per_step
        if self.max_staleness < needed:
            raise ConfigError(
                f"rollout.sync_every={self.sync_every} leaves the sampler with weights that are up "
                f"to {needed} updates old, and rollout.max_staleness={self.max_staleness} does not "
                f"allow that; set rollout.max_staleness={needed}, or "
                f"{needed + self.updates_per_step} to sample beside the update too"
            )

    @property
    def in_turn(self) -> bool:
        """Whether no step can be sampled before the one before it has been updated on."""
        return self.max_staleness < self.updates_per_step

    def version_at(self, step: int) -> int:
        """Updates that the weights have seen when `step`, counted from 0, begins."""
        return step * self.updates_per_step

    def version_for(self, step: int) -> int:
        """Of the weights that sample `step`: the oldest published ones that are no more than
        `max_staleness` updates behind."""
        oldest = max(0, self.version_at(step) - self.max_staleness)
        between = self.sync_every * self.updates_per_step
        return -(-oldest // between) * between
