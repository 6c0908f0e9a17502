"""The Hydra group `trainer`. Apart from the loop, so that composing a run does not import MLX."""

import math
from dataclasses import dataclass
from enum import Enum

from tersely.errors import ConfigError


class Precision(Enum):
    """`trainer.precision`: what the weights are stored in. Updates are float32 in all of them."""

    fp32 = "fp32"
    """float32: every update counts. 4 bytes a weight."""
    bf16_master = "bf16_master"
    """bfloat16, rounded from float32 values that are kept beside: every update counts, in time.
    6 bytes a weight."""
    bf16_stochastic = "bf16_stochastic"
    """bfloat16, rounded up or down by chance: every update counts on average. 2 bytes a weight."""
    bf16 = "bf16"
    """bfloat16, rounded to nearest: what is below half a place is lost, at a small learning rate
    most of every update. 2 bytes a weight. What the study did; here to compare with."""


class Schedule(Enum):
    """`trainer.schedule`: how the learning rate goes on after its warm-up."""

    constant = "constant"
    """Stays at its peak."""
    linear = "linear"
    """Falls to 0 in a straight line."""
    cosine = "cosine"
    """Falls to 0 as half a cosine: Loshchilov and Hutter, 2017, "SGDR: Stochastic gradient
    descent with warm restarts", eq. 5, without restarts."""


COUNTS = {
    "prompts_per_step": 1,
    "inner_updates": 1,
    "mini_batches": 1,
    "rollouts_per_chunk": 1,
    "vocabulary_per_chunk": 1,
    "warmup_updates": 0,
    "max_skipped_updates": 0,
    "save_every": 1,
    "keep_last": 1,
    "evaluate_every": 1,
    "patience": 1,
}
"""Fields that count something, and their least values."""
MOST = 10**9
"""Of anything that is counted: more is a slip of the finger."""
LARGEST = 1e6
"""Of epochs, of the learning rate, and of the weight decay."""


@dataclass
class TrainerConfig:
    """How a stage is trained."""

    steps: int | None = None
    """Steps a stage. Exactly one of `steps` and `epochs` is set."""
    epochs: float | None = None
    """Passes over the training split a stage."""
    prompts_per_step: int = 2
    """Prompts of one step; each gets `rollout.group_size` completions."""
    learning_rate: float = 2e-6
    """AdamW's step size at its peak."""
    schedule: Schedule = Schedule.constant
    """How the learning rate goes on after the warm-up: `constant`, `linear` or `cosine`."""
    warmup_updates: int = 0
    """Updates over which the learning rate rises to its peak."""
    weight_decay: float = 0.0
    """AdamW's decoupled decay."""
    beta1: float = 0.9
    """AdamW's decay of the mean gradient; in [0, 1)."""
    beta2: float = 0.99
    """AdamW's decay of the mean squared gradient; in [0, 1)."""
    bias_correction: bool = True
    """Whether AdamW's two means are scaled up while they are young: Kingma and Ba, 2015, "Adam: A
    method for stochastic optimization", section 3. Without it, as MLX has it by default and the
    study had it, steps are up to twice as large in the first hundred updates."""
    max_gradient_norm: float = 1.0
    """Gradients are scaled down to this norm; `inf` leaves them as they are."""
    train_end_of_turn: bool = True
    """Whether the token that ends a turn is learned like any other. False leaves it out of the
    loss, as the study's code did: when to stop is then learned from what comes before alone."""
    inner_updates: int = 1
    """Passes over the rollouts of a step; what the ratio of each is against, `correction` says."""
    mini_batches: int = 1
    """Parts that the prompts of a step are split into, with an update for each."""
    precision: Precision | None = None
    """What the weights are stored in: `fp32`, `bf16_master`, `bf16_stochastic` or `bf16`. Unset:
    `bf16_stochastic` on a GPU, `fp32` on a CPU, where nothing is faster in bfloat16."""
    memory_limit_gb: float | None = None
    """Memory of an update, weights and optimizer included; chunks are cut to fit. Unset: 70 % of
    the machine's, or what Metal recommends."""
    rollouts_per_chunk: int | None = None
    """Completions of a group that are worked through together; unset, as many as fit."""
    vocabulary_per_chunk: int | None = None
    """Rows of the LM head that are worked through together; unset, a few megabytes of logits."""
    checkpoint_layers: bool | None = None
    """Compute the inside of each layer again in the backward pass instead of keeping it: one more
    forward pass, much less memory. Unset, only where nothing else fits."""
    max_skipped_updates: int = 3
    """Updates in a row that may be skipped because loss or gradient is not finite; one more
    stops the run."""
    save_every: int | None = 50
    """Steps between two checkpoints from which the run can go on; null writes one only when the
    run is asked to stop. What sampling beside the update has begun is waited for."""
    keep_last: int = 2
    """Checkpoints that are kept, counted from the newest: one that is damaged has another behind
    it."""
    evaluate_every: int | None = None
    """Steps between two looks at the validation split; null never looks. The best is kept as
    `checkpoints/best`."""
    best_by: str = "reward"
    """What the best is the best by: `reward`, or the name of a `validation/` metric."""
    patience: int | None = None
    """Looks at the validation split without a better one after which a stage ends, and goes back
    to its best weights; null goes on to the last step with the last weights."""
    log_entropy: bool = False
    """Log the policy's entropy as `policy/entropy`."""

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            raise ConfigError(
                "exactly one of trainer.steps and trainer.epochs must be set, got "
                f"steps={self.steps} and epochs={self.epochs}; for steps set trainer.steps=40 "
                "trainer.epochs=null, for epochs trainer.steps=null trainer.epochs=1"
            )
        if self.steps is not None and not 1 <= self.steps <= MOST:
            raise ConfigError(
                f"trainer.steps must be at least 1, got {self.steps}; the most is {MOST}"
            )
        if self.epochs is not None and not 0 < self.epochs <= LARGEST:
            raise ConfigError(
                f"trainer.epochs must be above 0, got {self.epochs}; the most is {LARGEST:g}"
            )
        for name in COUNTS:
            value = getattr(self, name)
            if value is not None and not COUNTS[name] <= value <= MOST:
                raise ConfigError(
                    f"trainer.{name} must be at least {COUNTS[name]}, got {value}; the most is "
                    f"{MOST}; leave it out for its default"
                )
        if self.prompts_per_step % self.mini_batches:
            raise ConfigError(
                f"trainer.prompts_per_step={self.prompts_per_step} prompts cannot be split into "
                f"trainer.mini_batches={self.mini_batches} equal parts; set a divisor"
            )
        if self.patience is not None and self.evaluate_every is None:
            raise ConfigError(
                f"trainer.patience={self.patience} counts looks at the validation split, and "
                "there are none; set trainer.evaluate_every to the steps between two of them"
            )
        if self.best_by != TrainerConfig.best_by and self.evaluate_every is None:
            raise ConfigError(
                f"trainer.best_by={self.best_by} says which look at the validation split was "
                "best, and there are none; set trainer.evaluate_every to the steps between two "
                "looks"
            )
        if self.memory_limit_gb is not None and not 0 < self.memory_limit_gb < math.inf:
            raise ConfigError(
                f"trainer.memory_limit_gb must be above 0, got {self.memory_limit_gb}; leave it "
                "out to use most of this machine's memory"
            )
        if not 0 < self.learning_rate <= LARGEST:
            raise ConfigError(
                f"trainer.learning_rate must be above 0, got {self.learning_rate}; the most is "
                f"{LARGEST:g}"
            )
        if not self.max_gradient_norm > 0:
            raise ConfigError(
                f"trainer.max_gradient_norm must be above 0, got {self.max_gradient_norm}; "
                "trainer.max_gradient_norm=inf clips nothing"
            )
        if not 0 <= self.weight_decay <= LARGEST:
            raise ConfigError(
                f"trainer.weight_decay must be 0 or more, got {self.weight_decay}; the most is "
                f"{LARGEST:g}"
            )
        for name in ("beta1", "beta2"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ConfigError(f"trainer.{name} must lie in [0, 1), got {value}")

    def duration(self) -> str:
        """How long a stage is, in words."""
        return f"{self.steps} steps" if self.steps is not None else f"{self.epochs} epochs"

    @property
    def updates_per_step(self) -> int:
        """Optimizer updates of a step."""
        return self.inner_updates * self.mini_batches

    def steps_for(self, examples: int) -> int:
        """Steps of a stage over a training split of `examples` prompts."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return max(1, round(self.epochs * examples / self.prompts_per_step))
