"""The Hydra group `tuning`: which weights a stage trains."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tersely.errors import ConfigError

if TYPE_CHECKING:
    import mlx.nn as nn


HIGHEST_RANK = 4096


@dataclass
class TuningConfig:
    """Base of the Hydra group `tuning`."""

    def check(self, model: "nn.Module") -> None:
        """Raise `ConfigError` where `model` cannot be trained this way."""

    def attach(self, model: "nn.Module", seed: int) -> None:
        """Make ready what is to be trained: afterwards it is `model.trainable_parameters()`."""
        raise NotImplementedError


@dataclass
class FullConfig(TuningConfig):
    """`tuning=full`: every weight is trained."""

    def attach(self, model: "nn.Module", seed: int) -> None:
        """A model is loaded that way."""


@dataclass
class LoraConfig(TuningConfig):
    """`tuning=lora`: the weights stay, and low-rank adapters beside them are trained.

    A linear layer `y = W x` becomes `y = W x + scale B A x`, with `rank` rows in A; B is 0 at
    first, so that a stage begins with the policy it was given. Every linear layer of a
    transformer layer gets one; embeddings outside the layers and the LM head get none. There is
    no dropout: sampler and update would see different policies, and the ratio between them would
    be noise.

    Hu et al., 2021, "LoRA: Low-rank adaptation of large language models", section 4.1, with
    mlx-lm's `scale` in place of alpha / rank.
    """

    rank: int = 16
    """Rank of each adapter; the study's, had it used them."""
    scale: float = 20.0
    """What an adapter's output is multiplied by, whatever its rank; above 0. With 20, mlx-lm's
    default, the embedded model's KL to its reference grew as under `tuning=full` with the same
    learning rate; with 4, which the study names and does not use, to a twentieth of it."""
    layers: int | None = None
    """How many transformer layers get adapters, counted from the last; null is all of them."""

    def __post_init__(self) -> None:
        if not 1 <= self.rank <= HIGHEST_RANK:
            raise ConfigError(
                f"tuning.rank must be at least 1, got {self.rank}: an adapter of rank 0 has "
                f"nothing to train, and one above {HIGHEST_RANK} more than tuning=full; usual: 8 "
                "to 64"
            )
        if not 1e-6 <= self.scale <= 1e6:
            raise ConfigError(
                f"tuning.scale must lie in 1e-06 to 1e+06, got {self.scale}: it is what adapters "
                "are multiplied by; mlx-lm takes 20"
            )
        if self.layers is not None and self.layers < 1:
            raise ConfigError(
                f"tuning.layers must be at least 1, got {self.layers}: without adapters nothing "
                "is trained; set tuning.layers=null for all layers"
            )

    def check(self, model: "nn.Module") -> None:
        """It needs as many layers as are asked for."""
        present = len(model.layers)
        if self.layers is not None and self.layers > present:
            raise ConfigError(
                f"tuning.layers={self.layers}, but this model has {present}; set "
                f"tuning.layers={present} or fewer, or null for all"
            )

    def attach(self, model: "nn.Module", seed: int) -> None:
        """See `lora.attach`."""
        from tersely.policy.lora import attach

        layers = self.layers or len(model.layers)
        attach(model, seed, rank=self.rank, scale=self.scale, layers=layers)
