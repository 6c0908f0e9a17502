"""How summaries are decoded for an evaluation, and how they are scored without a judge."""

from dataclasses import dataclass

from tersely.errors import ConfigError
from tersely.rewards.matching import Matching
from tersely.rewards.quality import RewardConfig


@dataclass
class DecodingConfig:
    """Greedy, or sampled several times a post."""

    max_tokens: int = 512
    """Longest summary, in tokens, the end-of-turn token included; a run's own
    `rollout.max_tokens` where a run is evaluated."""
    temperature: float = 0.0
    """0 takes the most likely token each time; above 0 logits are divided by it and sampled."""
    top_p: float = 1.0
    """Nucleus of this probability is sampled from; 1 keeps every token."""
    samples: int = 1
    """Summaries of each post; more than one has to be sampled."""

    def __post_init__(self) -> None:
        if not (self.temperature == 0 or 0.01 <= self.temperature <= 100):
            raise ConfigError(
                f"decoding.temperature must be 0 or lie in 0.01 to 100, got {self.temperature}; "
                "0 is greedy, and 1 samples from the policy as it is"
            )
        if not 1e-6 <= self.top_p <= 1:
            raise ConfigError(
                f"decoding.top_p must lie in 1e-6 to 1, got {self.top_p}; 1 keeps all"
            )
        for name, least, most in (("samples", 1, 10_000), ("max_tokens", 2, 1_000_000)):
            if not least <= getattr(self, name) <= most:
                raise ConfigError(
                    f"decoding.{name} must lie in {least} to {most}, got {getattr(self, name)}"
                )
        if self.greedy and (self.samples > 1 or self.top_p < 1):
            raise ConfigError(
                f"decoding.samples={self.samples} and decoding.top_p={self.top_p:g} ask for "
                "sampling, and decoding.temperature=0 is greedy: every summary of a post would be "
                "the same; set decoding.temperature=1"
            )

    @property
    def greedy(self) -> bool:
        return self.temperature == 0


@dataclass
class MeasureConfig:
    """What summaries are measured against; a run's own values where a run is evaluated."""

    target: int = 64
    """Length that a summary should have, in tokens."""
    meteor_matching: Matching = RewardConfig.meteor_matching
    """`wordnet`, or `exact_and_stem` on a machine that cannot have WordNet: other, lower scores."""
    bleu_smooth: bool = RewardConfig.bleu_smooth
    """Add one to the matches and the possible matches of every order of BLEU."""

    def __post_init__(self) -> None:
        if self.target < 1:
            raise ConfigError(f"measure.target must be at least 1 token, got {self.target}")

    def metrics(self) -> RewardConfig:
        """How overlap metrics are computed, as a run says it."""
        return RewardConfig(meteor_matching=self.meteor_matching, bleu_smooth=self.bleu_smooth)
