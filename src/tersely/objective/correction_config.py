"""The Hydra group `correction`. Apart from `correction`, so that composing a run does not
import MLX."""

import math
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from tersely.errors import ConfigError

if TYPE_CHECKING:
    from tersely.objective.correction import Correction


class Level(Enum):
    """`correction.level`: what one weight is for."""

    token = "token"
    """Every token has its own: little variance, and a bias where many tokens are slightly off."""
    sequence = "sequence"
    """A completion has one for all its tokens, the product of theirs: unbiased up to the cap, and
    far from 1 for long completions."""


@dataclass
class CorrectionConfig:
    """Base of the Hydra group `correction`."""

    decoupled: ClassVar[bool]
    """Whether the ratio is against the policy before the first update on its batch, which with
    several updates a step takes one more forward pass."""

    def build(self) -> "Correction":
        """The correction of some rollouts of a batch."""
        raise NotImplementedError


@dataclass
class NoCorrection(CorrectionConfig):
    """`correction=none`: the ratio is against the sampler, in every update of a batch."""

    decoupled = False

    def build(self) -> "Correction":
        """See `correction.uncorrected`."""
        from tersely.objective.correction import uncorrected

        return uncorrected


@dataclass
class TisConfig(CorrectionConfig):
    """`correction=tis`: the ratio is against the policy before the first update on the batch, and
    what that policy is off the sampler becomes a weight, at most the cap."""

    decoupled = True

    level: Level = Level.token
    """What one weight is for: `token` or `sequence`."""
    cap: float = 2.0
    """Weights above this are lowered to it; above 0."""

    def __post_init__(self) -> None:
        _check_cap(self.cap, "usual: 2")

    def build(self) -> "Correction":
        """See `correction.tis`."""
        from tersely.objective.correction import tis

        return partial(tis, level=self.level, cap=self.cap)


@dataclass
class MisConfig(CorrectionConfig):
    """`correction=mis`: as `tis`, but a weight above the cap becomes 0."""

    decoupled = True

    level: Level = Level.sequence
    """What one weight is for: `token` or `sequence`."""
    cap: float = 3.0
    """What has a weight above this is left out; above 0."""

    def __post_init__(self) -> None:
        _check_cap(self.cap, "usual: 3")

    def build(self) -> "Correction":
        """See `correction.mis`."""
        from tersely.objective.correction import mis

        return partial(mis, level=self.level, cap=self.cap)


def _check_cap(cap: float, usual: str) -> None:
    if not 0 < cap < math.inf:
        raise ConfigError(
            f"correction.cap must be above 0 and finite, got {cap}: it bounds what one rollout of "
            f"an old policy can do; {usual}"
        )
