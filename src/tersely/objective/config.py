"""The Hydra group `loss`. Apart from `losses`, so that composing a run does not import MLX."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tersely.errors import ConfigError
from tersely.objective.aggregation import Aggregation
from tersely.objective.correction_config import CorrectionConfig, NoCorrection

if TYPE_CHECKING:
    from tersely.objective.correction import Correction
    from tersely.objective.losses import Loss


LARGEST_BETA = 1e3


@dataclass
class LossConfig:
    """What every loss has."""

    clip_low: float = 0.2
    """The ratio is held at `1 - clip_low` for tokens that should become rarer; in (0, 1)."""
    clip_high: float = 0.2
    """The ratio is held at `1 + clip_high` for tokens that should become likelier; above 0."""
    beta: float = 1e-4
    """Weight of the KL to the reference, per token in nats; 0 needs no reference copy."""
    aggregation: Aggregation = Aggregation.sequence_mean
    """How losses of tokens become one number: `sequence_mean` (GRPO), `token_mean` (DAPO) or
    `constant` (Dr. GRPO, divided by `rollout.max_tokens`)."""

    def __post_init__(self) -> None:
        if not 0 < self.clip_low < 1:
            raise ConfigError(f"loss.clip_low must lie in (0, 1), got {self.clip_low}; usual: 0.2")
        if not 0 < self.clip_high < float("inf"):
            raise ConfigError(f"loss.clip_high must be above 0, got {self.clip_high}; usual: 0.2")
        if not 0 <= self.beta <= LARGEST_BETA:
            raise ConfigError(
                f"loss.beta must be 0 or more, got {self.beta}: beside a weight above "
                f"{LARGEST_BETA:g} no reward counts, and a negative weight would drive "
                "the policy away from its reference; the study uses 1e-4"
            )

    def check(self, correction: CorrectionConfig, updates_per_step: int) -> None:
        """Raise `ConfigError` where this loss cannot be had with these."""

    def build(self, correction: "Correction | None" = None) -> "Loss":
        """The loss of some rollouts of a batch; without a correction, `correction=none`."""
        raise NotImplementedError


@dataclass
class GrpoConfig(LossConfig):
    """`loss=grpo`: token-level clipped surrogate with KL to the reference."""

    def build(self, correction: "Correction | None" = None) -> "Loss":
        """See `losses.grpo`."""
        from tersely.objective.correction import uncorrected
        from tersely.objective.losses import grpo

        return partial(
            grpo,
            clip_low=self.clip_low,
            clip_high=self.clip_high,
            beta=self.beta,
            correction=correction or uncorrected,
        )


@dataclass
class StudyConfig(LossConfig):
    """`loss=study`: what the study's code computed, to compare with. One ratio a completion, of
    mean log-probabilities, against the policy itself right before the update: always 1."""

    def check(self, correction: CorrectionConfig, updates_per_step: int) -> None:
        """One update a step, and no correction."""
        if not isinstance(correction, NoCorrection):
            raise ConfigError(
                "loss=study knows nothing of the sampler, so there is nothing to correct; set "
                "correction=none, or loss=grpo to correct"
            )
        if updates_per_step > 1:
            raise ConfigError(
                f"loss=study makes one update a step, and this run asks for {updates_per_step}: "
                "its ratio would be 1 in each of them; set trainer.inner_updates=1 "
                "trainer.mini_batches=1, or loss=grpo"
            )

    def build(self, correction: "Correction | None" = None) -> "Loss":
        """See `losses.study`; a correction plays no part."""
        from tersely.objective.losses import study

        return partial(study, clip_low=self.clip_low, clip_high=self.clip_high, beta=self.beta)
