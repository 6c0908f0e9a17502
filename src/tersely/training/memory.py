"""Chunks that fit the memory of an update."""

import logging
from collections.abc import Sequence
from typing import Any

from mlx.utils import tree_flatten

from tersely.policy.logprobs import Scorer
from tersely.training.chunks import Plan, plans
from tersely.training.config import Precision, TrainerConfig
from tersely.training.footprint import Footprint, memory_limit_gb
from tersely.training.precision import precision_of

log = logging.getLogger(__name__)


class Memory:
    """Decides, group by group, what is worked through at once."""

    def __init__(self, scorer: Scorer, trainer: TrainerConfig, *, with_reference: bool) -> None:
        self._trainer = trainer
        self._limit = (trainer.memory_limit_gb or memory_limit_gb()) * 1e9
        self._standing = standing_bytes(
            scorer, precision_of(trainer), with_reference=with_reference
        )
        self._footprint = Footprint(scorer)
        self._warned = False
        log.info(
            "memory: %.2f GB may be used, %.2f GB of it for weights, gradients and optimizer",
            self._limit / 1e9,
            self._standing / 1e9,
        )

    def plan(self, prompt: int, lengths: Sequence[int]) -> Plan:
        """The fastest plan that fits, for a prompt and completions of so many tokens."""
        needed = {}
        for each in plans(
            lengths, self._trainer.rollouts_per_chunk, self._trainer.checkpoint_layers
        ):
            needed[each] = self._standing + self._footprint.working_bytes(prompt, each)
            if needed[each] <= self._limit:
                return each
        smallest = min(needed, key=needed.__getitem__)
        self._warn(needed[smallest])
        return smallest

    def _warn(self, needed: float) -> None:
        if self._warned:
            return
        self._warned = True
        log.warning(
            "an update needs about %.1f GB even in its smallest chunks, and %.1f GB are allowed: "
            "it goes on and may be slow or fail. Raise trainer.memory_limit_gb, or save memory "
            "with trainer.precision=bf16_stochastic, tuning=lora or loss.beta=0",
            needed / 1e9,
            self._limit / 1e9,
        )


def standing_bytes(scorer: Scorer, precision: Precision, *, with_reference: bool) -> int:
    """What stands in memory whatever the chunks: the weights, and for each one that is trained
    its gradient, AdamW's two means, the float32 master of `bf16_master`, the snapshot that the
    sampler holds, and the reference's copy."""
    stored = _bytes(scorer.model.parameters())
    trained = scorer.model.trainable_parameters()
    numbers = sum(int(array.size) for _, array in tree_flatten(trained))
    float32s = 4 if precision is Precision.bf16_master else 3
    return stored + 4 * float32s * numbers + (2 if with_reference else 1) * _bytes(trained)


def _bytes(tree: Any) -> int:
    return sum(int(array.nbytes) for _, array in tree_flatten(tree))
