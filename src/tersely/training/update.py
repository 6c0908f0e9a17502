"""The optimizer updates of one step, from its batch and advantages.

Usually one, and the policy is evaluated once. With `trainer.inner_updates` or
`trainer.mini_batches` there are several; where the ratio is against the policy as it was before
the first of them (`correction=tis`, `mis`), that policy is evaluated once more.
"""

import logging
import math
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

import mlx.core as mx
import mlx.nn as nn

from tersely.objective.aggregation import Aggregation, token_weights
from tersely.objective.losses import Loss, LossInputs
from tersely.policy.logprobs import Scorer, completion_mask, padded
from tersely.records import Batch, Group, Rollout
from tersely.training.chunks import Plan
from tersely.training.config import TrainerConfig
from tersely.training.gradient import GradientSum, GroupTokens, group_gradient, group_logprobs
from tersely.training.memory import Memory
from tersely.training.precision import Weights

log = logging.getLogger(__name__)

Advantages = Sequence[Sequence[float]]
"""`[P, G]`"""


class Updated(NamedTuple):
    """What the updates of a step report."""

    metrics: dict[str, float]
    """By the names under which they are logged; means over the updates that were made."""
    left_out: tuple[bool, ...]
    """For each update, in order: whether it was left out, loss or gradient not being finite."""


class Updater:
    """Holds what updates need beside their batch: the model, its reference, the optimizer."""

    def __init__(
        self,
        model: nn.Module,
        reference: nn.Module | None,
        loss: Loss,
        weights: Weights,
        *,
        aggregation: Aggregation,
        trainer: TrainerConfig,
        max_tokens: int,
        temperature: float,
        decoupled: bool = False,
    ) -> None:
        """`reference` may be None when the loss has no KL term. `max_tokens` and `temperature`
        are the sampler's: policy and sampler log-probabilities speak of one distribution.
        `decoupled` is that of the correction in the loss."""
        block = trainer.vocabulary_per_chunk
        self._scorer = Scorer(model, temperature, block)
        self._reference = None if reference is None else Scorer(reference, temperature, block)
        self._loss, self._weights = loss, weights
        self._aggregation, self._max_tokens = aggregation, max_tokens
        self._trainer = trainer
        self._needs_proximal = decoupled and trainer.updates_per_step > 1
        self.memory = Memory(self._scorer, trainer, with_reference=reference is not None)
        _say_what_is_slow(self._scorer)

    def step(self, batch: Batch, advantages: Advantages) -> Updated:
        """Make the updates of one step. An update whose loss or gradient is not finite is left
        out, and weights and optimizer stay as they were."""
        parts = self._mini_batches(batch, advantages)
        made = [self._update(part) for _ in range(self._trainer.inner_updates) for part in parts]
        finite = [metrics for metrics in made if metrics is not None]
        means = {name: fmean(each[name] for each in finite) for name in (finite or [{}])[0]}
        return Updated(means, tuple(metrics is None for metrics in made))

    def _update(self, part: Sequence[tuple[GroupTokens, Plan]]) -> dict[str, float] | None:
        """One update; None where it was left out."""
        total = GradientSum()
        sums: dict[str, float] = {}
        for group, plan in part:
            parts = group_gradient(
                self._scorer,
                self._loss,
                group,
                plan,
                entropy=self._trainer.log_entropy,
                onto=total,
            ).parts
            named = {f"loss/{name}": value for name, value in parts.loss._asdict().items()}
            if self._trainer.log_entropy:
                named["policy/entropy"] = parts.entropy
            for name, value in named.items():
                sums[name] = sums.get(name, 0.0) + value.item()
        most = self._trainer.max_gradient_norm
        norm = total.clip(most)
        if not (math.isfinite(norm) and math.isfinite(sums["loss/total"])):
            return None
        changed = self._weights.step(total.take())
        return sums | {
            "update/gradient_norm": norm,
            "update/clipped_share": float(norm > most),
            "update/changed_share": changed,
        }

    def _mini_batches(
        self, batch: Batch, advantages: Advantages
    ) -> list[list[tuple[GroupTokens, Plan]]]:
        count = self._trainer.mini_batches
        size = len(batch.groups) // count
        parts = [slice(at * size, (at + 1) * size) for at in range(count)]
        return [self._ready(batch.groups[part], advantages[part]) for part in parts]

    def _ready(
        self, groups: Sequence[Group], advantages: Advantages
    ) -> list[tuple[GroupTokens, Plan]]:
        """The groups of one update, with all that is known before its first gradient."""
        learned = [[self._learned(rollout) for rollout in group.rollouts] for group in groups]
        weights = token_weights(self._aggregation, learned, self._max_tokens)
        token_share = 1 / max(1, sum(map(sum, learned)))
        ready = []
        for group, own_advantages, own_weights in zip(groups, advantages, weights, strict=True):
            own_lengths = [len(rollout.token_ids) for rollout in group.rollouts]
            plan = self.memory.plan(len(group.prompt.token_ids), own_lengths)
            ready.append(
                (self._tokens(group, plan, own_advantages, own_weights, token_share), plan)
            )
        return ready

    def _learned(self, rollout: Rollout) -> int:
        """How many tokens of a completion are labels: all, or all but the end of its turn."""
        return len(rollout.token_ids) if self._trainer.train_end_of_turn else rollout.length

    def _tokens(
        self,
        group: Group,
        plan: Plan,
        advantages: Sequence[float],
        weights: Sequence[float],
        token_share: float,
    ) -> GroupTokens:
        prompt = group.prompt.token_ids
        completions = [rollout.token_ids for rollout in group.rollouts]
        length = max(chunk.length for chunk in plan.chunks)
        sampler = padded([rollout.sampler_logprobs for rollout in group.rollouts], length)
        proximal = reference = None
        if self._needs_proximal:
            proximal = group_logprobs(self._scorer, prompt, completions, plan.chunks)
        if self._reference is not None:
            reference = group_logprobs(self._reference, prompt, completions, plan.chunks)
        inputs = LossInputs(
            proximal_logprobs=proximal,
            sampler_logprobs=sampler,
            reference_logprobs=reference,
            advantages=mx.array(list(advantages)),
            mask=completion_mask(
                [rollout.token_ids[: self._learned(rollout)] for rollout in group.rollouts], length
            ),
            weights=mx.array(list(weights)),
            token_share=token_share,
        )
        return GroupTokens(prompt, completions, inputs)


def _say_what_is_slow(scorer: Scorer) -> None:
    if not scorer.shares_prompt:
        log.warning(
            "the caches of this architecture cannot be shared by a group: each prompt goes through "
            "the model once for every completion, which is several times slower"
        )
    if not scorer.fuses_head:
        log.warning(
            "the logits of this architecture are more than one product with its LM head: they are "
            "computed whole, which takes memory"
        )
