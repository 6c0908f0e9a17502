"""The Hydra group `trainer`. Apart from the loop, so that composing a run does not import MLX."""

import math
from dataclasses import dataclass

from tersely.errors import ConfigError


@dataclass
class TrainerConfig:
    """How a stage is trained."""

    steps: int | None = None
    """Optimizer updates a stage. Exactly one of `steps` and `epochs` is set."""
    epochs: float | None = None
    """Passes over the training split a stage."""
    prompts_per_step: int = 2
    """Prompts of one update; each gets `rollout.group_size` completions."""
    learning_rate: float = 2e-6
    """AdamW's step size, constant."""
    weight_decay: float = 0.0
    """AdamW's decoupled decay."""
    beta1: float = 0.9
    """AdamW's decay of the mean gradient; in [0, 1)."""
    beta2: float = 0.99
    """AdamW's decay of the mean squared gradient; in [0, 1)."""
    max_gradient_norm: float = 1.0
    """Gradients are scaled down to this norm."""

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            raise ConfigError(
                "exactly one of trainer.steps and trainer.epochs must be set, got "
                f"steps={self.steps} and epochs={self.epochs}; for steps set trainer.steps=40 "
                "trainer.epochs=null, for epochs trainer.steps=null trainer.epochs=1"
            )
        if self.steps is not None and self.steps < 1:
            raise ConfigError(f"trainer.steps must be at least 1, got {self.steps}")
        if self.epochs is not None and not 0 < self.epochs < math.inf:
            raise ConfigError(f"trainer.epochs must be above 0, got {self.epochs}")
        if self.prompts_per_step < 1:
            raise ConfigError(
                f"trainer.prompts_per_step must be at least 1, got {self.prompts_per_step}"
            )
        for name in ("learning_rate", "max_gradient_norm"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ConfigError(f"trainer.{name} must be above 0, got {value}")
        if not 0 <= self.weight_decay < math.inf:
            raise ConfigError(f"trainer.weight_decay must be 0 or more, got {self.weight_decay}")
        for name in ("beta1", "beta2"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ConfigError(f"trainer.{name} must lie in [0, 1), got {value}")

    def duration(self) -> str:
        """How long a stage is, in words."""
        return f"{self.steps} steps" if self.steps is not None else f"{self.epochs} epochs"

    def steps_for(self, examples: int) -> int:
        """Updates of a stage over a training split of `examples` prompts."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return max(1, round(self.epochs * examples / self.prompts_per_step))
