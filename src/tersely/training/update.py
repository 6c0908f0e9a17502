"""One optimizer update from one batch: group by group, gradients summed, clipped, applied."""

import math
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import NamedTuple

import mlx.core as mx
import mlx.nn as nn
from mlx import optimizers
from mlx.utils import tree_map

from tersely.errors import TrainingDiverged
from tersely.objective.losses import GroupLoss, GroupTokens
from tersely.policy.logprobs import completion_logprobs
from tersely.records import Batch, Group


class Updated(NamedTuple):
    """What an update reports."""

    loss: dict[str, float]
    """The fields of `GroupLoss`, each its mean over the groups of the batch."""
    gradient_norm: float
    """Before the clip."""


class Updater:
    """Holds what an update needs beside its batch: the model, its reference, the optimizer."""

    def __init__(
        self,
        model: nn.Module,
        reference: nn.Module | None,
        loss: Callable[[GroupTokens], GroupLoss],
        optimizer: optimizers.Optimizer,
        *,
        max_gradient_norm: float,
        temperature: float,
    ) -> None:
        """`reference` may be None when the loss has no KL term; `temperature` is the
        sampler's, so that policy and sampler log-probabilities speak of one distribution."""
        self._model, self._reference = model, reference
        self._loss, self._optimizer = loss, optimizer
        self._max_gradient_norm, self._temperature = max_gradient_norm, temperature
        self._loss_and_gradient = nn.value_and_grad(model, self._group_loss)

    def step(self, batch: Batch, advantages: Sequence[Sequence[float]]) -> Updated:
        """Apply one update. `advantages` is `[P, G]`.

        The loss is the mean over groups, so each group's gradient counts 1/P whatever the
        number of its tokens, and groups can be worked through one at a time. Raises
        `TrainingDiverged` before a gradient that is not finite reaches the weights.
        """
        share = 1 / len(batch.groups)
        gradient = None
        losses: list[list[float]] = []
        for group, group_advantages in zip(batch.groups, advantages, strict=True):
            loss, own = self._loss_and_gradient(group, group_advantages)
            own = tree_map(lambda array: array * share, own)
            gradient = own if gradient is None else tree_map(mx.add, gradient, own)
            mx.eval(loss, gradient)
            losses.append([part.item() for part in loss])
        clipped, norm = optimizers.clip_grad_norm(gradient, self._max_gradient_norm)
        if not math.isfinite(norm.item()):
            raise TrainingDiverged(
                f"the gradient of step {batch.step + 1} is not finite (norm {norm.item()}); the "
                "weights are as they were before it. Lower trainer.learning_rate"
            )
        self._optimizer.update(self._model, clipped)
        mx.eval(self._model.parameters(), self._optimizer.state)
        means = (fmean(parts) for parts in zip(*losses, strict=True))
        return Updated(dict(zip(GroupLoss._fields, means, strict=True)), norm.item())

    def _group_loss(self, group: Group, advantages: Sequence[float]) -> GroupLoss:
        completions = [[rollout.token_ids for rollout in group.rollouts]]
        prompts = [group.prompt.token_ids]
        scored = completion_logprobs(self._model, prompts, completions, self._temperature)
        reference = None
        if self._reference is not None:
            reference = mx.stop_gradient(
                completion_logprobs(
                    self._reference, prompts, completions, self._temperature
                ).logprobs[0]
            )
        return self._loss(
            GroupTokens(
                policy_logprobs=scored.logprobs[0],
                sampler_logprobs=_sampler_logprobs(group, scored.mask.shape[-1]),
                reference_logprobs=reference,
                advantages=mx.array(list(advantages)),
                mask=scored.mask[0],
            )
        )


def _sampler_logprobs(group: Group, length: int) -> mx.array:
    """`[G, length]`, 0 where there is no token."""
    return mx.array(
        [
            [*rollout.sampler_logprobs, *([0.0] * (length - len(rollout.sampler_logprobs)))]
            for rollout in group.rollouts
        ]
    )
