"""Strategies as lists of stages: what is rewarded, and in which order.

`joint` rewards length and quality together from the start. `staged` first trains on length
alone, then goes on from that checkpoint with quality alone, as the study does.
"""

from dataclasses import dataclass

from tersely.errors import ConfigError


@dataclass(frozen=True)
class Stage:
    """One training run from a checkpoint to the next."""

    name: str
    length: bool
    """Whether the length term is part of the reward."""
    quality: bool
    """Whether the quality terms are part of the reward."""
    shared: bool
    """Whether other runs may reuse the result: it does not depend on the quality reward."""


LENGTH = Stage("length", length=True, quality=False, shared=True)
QUALITY = Stage("quality", length=False, quality=True, shared=False)
JOINT = Stage("joint", length=True, quality=True, shared=False)


@dataclass
class StrategyConfig:
    """Base of the Hydra group `strategy`."""

    def stages(self, has_quality: bool) -> tuple[Stage, ...]:
        """The stages in order; `has_quality` says whether the reward has a quality term."""
        raise NotImplementedError


@dataclass
class JointConfig(StrategyConfig):
    """`strategy=joint`: length and quality at once."""

    def stages(self, has_quality: bool) -> tuple[Stage, ...]:
        """One stage; without a quality term it is the length stage alone."""
        return (JOINT,) if has_quality else (LENGTH,)


@dataclass
class StagedConfig(StrategyConfig):
    """`strategy=staged`: length first, then quality from that checkpoint."""

    def stages(self, has_quality: bool) -> tuple[Stage, ...]:
        """Two stages. Raises `ConfigError` where the second would have no reward."""
        if not has_quality:
            raise ConfigError(
                "strategy=staged needs a quality reward for its second stage, and reward=length "
                "has none; set strategy=joint for a run on length alone"
            )
        return (LENGTH, QUALITY)
