"""Advantages: how much better a rollout is than the others of its group."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import mean, pstdev

from tersely.errors import ConfigError

SMALLEST_EPSILON, LARGEST_EPSILON = 1e-12, 1e3

Advantage = Callable[[Sequence[float]], list[float]]
"""Rewards `[G]` of one group in, advantages `[G]` out."""


@dataclass
class AdvantageConfig:
    """Base of the Hydra group `advantage`."""

    def build(self) -> Advantage:
        """The estimator."""
        raise NotImplementedError


@dataclass
class ZScoreConfig(AdvantageConfig):
    """`advantage=zscore`: rewards standardised in their group, as GRPO does."""

    epsilon: float = 1e-6
    """Smallest standard deviation that is divided by, from `SMALLEST_EPSILON` to
    `LARGEST_EPSILON`."""

    def __post_init__(self) -> None:
        if not SMALLEST_EPSILON <= self.epsilon <= LARGEST_EPSILON:
            raise ConfigError(
                f"advantage.epsilon must be above 0, got {self.epsilon}; the least is "
                f"{SMALLEST_EPSILON:g}, below which a group of equal rewards would divide by zero, "
                f"and the most {LARGEST_EPSILON:g}, above which no advantage is left; 1e-6 is usual"
            )

    def build(self) -> Advantage:
        """See `zscore`."""
        return partial(zscore, epsilon=self.epsilon)


def zscore(rewards: Sequence[float], epsilon: float = 1e-6) -> list[float]:
    """`A_i = (r_i - mean(r)) / max(std(r), epsilon)` with the population standard deviation.

    Shao et al., 2024, "DeepSeekMath", section 4.1.2. A group of equal rewards has advantages 0.
    """
    centre = mean(rewards)  # exact, unlike fmean: equal rewards have to differ from it by 0
    spread = max(pstdev(rewards, centre), epsilon)
    return [(reward - centre) / spread for reward in rewards]
