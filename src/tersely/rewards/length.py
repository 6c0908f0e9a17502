"""The length reward of the study: minus the relative distance from a target."""

import math
from dataclasses import dataclass

from tersely.errors import ConfigError
from tersely.records import Group
from tersely.rewards.mixture import Term, check_weight


def length_score(tokens: int, target: int, floor: float | None) -> float:
    """`-|tokens - target| / target`, but never below `floor`; 0 at the target.

    Lengths are in tokens of the policy's tokenizer, without the end-of-turn token.
    """
    score = -abs(tokens - target) / target
    return score if floor is None else max(score, floor)


@dataclass
class LengthConfig:
    """`length`: how far a summary's length may be from the target, and what that costs."""

    target: int = 64
    """Wanted length of a summary in tokens, without the end-of-turn token; at least 1."""

    floor: float | None = None
    """Lowest length score, below 0; null for none. Without one the score falls below -1 past twice
    the target, and to -7 at 512 tokens for the target 64."""

    weight: float = 1.0
    """Weight of the length score in the sum; above 0."""

    def __post_init__(self) -> None:
        if self.target < 1:
            raise ConfigError(
                f"length.target must be at least 1, got {self.target}; the study uses 64"
            )
        if self.floor is not None and not -math.inf < self.floor < 0:
            raise ConfigError(
                f"length.floor must be a finite number below 0, or null for no floor, got "
                f"{self.floor}; -1 stops the score at twice the target"
            )
        check_weight("length.weight", self.weight)

    def build(self) -> Term:
        """The term `length`."""

        def score(group: Group) -> list[float]:
            return [length_score(r.length, self.target, self.floor) for r in group.rollouts]

        return Term("length", self.weight, score)
