"""Chunks, shared prompts and checkpoints against the plain path: every row with its prompt, logits
of all positions, log-softmax, and the loss written out."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten, tree_map
from mlx_lm.models import gemma2, gemma3_text

from tersely.objective.aggregation import Aggregation, token_weights
from tersely.objective.config import GrpoConfig
from tersely.objective.losses import LossInputs
from tersely.policy.load import Policy
from tersely.policy.logprobs import Scorer, completion_mask, padded
from tersely.policy.tuning import LoraConfig
from tersely.training.chunks import Chunk, Plan, split
from tersely.training.gradient import GroupGradient, GroupTokens, group_gradient, group_logprobs

Load = Callable[..., Policy]

ARCHITECTURES = pytest.mark.parametrize("architecture", ["qwen2", "lfm2"])
CHECKPOINTS = pytest.mark.parametrize("checkpoint", [False, True], ids=["kept", "checkpoints"])
TEMPERATURE, BETA = 0.7, 0.3
LOSS = GrpoConfig(beta=BETA).build()
PROMPT = [5, 9, 301, 77, 8, 400, 401]
SIXTEEN = [[(37 * row + 11 * at) % 2048 for at in range(1 + (7 * row) % 23)] for row in range(16)]
"""16 completions of 1 to 23 tokens."""


class Case(NamedTuple):
    """One group of a batch of two, with numbers that make every part of the loss count."""

    prompt: Sequence[int]
    completions: Sequence[Sequence[int]]
    aggregation: Aggregation = Aggregation.sequence_mean

    def noise(self, seed: int) -> list[np.ndarray]:
        """A number a token, about 0.3 in size."""
        draw = np.random.default_rng(seed)
        return [0.3 * draw.standard_normal(len(each)) for each in self.completions]

    @property
    def advantages(self) -> np.ndarray:
        return np.random.default_rng(0).standard_normal(len(self.completions)) + 0.1

    def weights(self) -> list[float]:
        """The other group of the batch has completions of 10 tokens."""
        lengths = [len(each) for each in self.completions]
        return token_weights(self.aggregation, [lengths, [10] * len(lengths)], max_tokens=30)[0]

    def token_share(self) -> float:
        return 1 / (sum(map(len, self.completions)) + 10 * len(self.completions))


class Told(NamedTuple):
    """What others say of a group, row by row; none of it is padded."""

    proximal: list[np.ndarray]
    sampler: list[np.ndarray]
    reference: list[np.ndarray]


class Plain(NamedTuple):
    """What the plain path gives."""

    total: float
    kl_reference: float
    kl_sampler: float
    ratio_mean: float
    clip_share: float
    entropy: float
    gradient: dict[str, np.ndarray]


def plain_logits(model: nn.Module, case: Case, row: int) -> mx.array:
    """`[T, V]`: no cache, no padding, at all positions, of which those of the completion."""
    completion = case.completions[row]
    logits = model(mx.array([[*case.prompt, *completion]]))[0].astype(mx.float32) / TEMPERATURE
    return logits[len(case.prompt) - 1 : -1]


def plain_logprobs(model: nn.Module, case: Case, row: int) -> mx.array:
    logits = plain_logits(model, case, row)
    logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    return logprobs[mx.arange(len(logits)), mx.array(case.completions[row])]


def told(model: nn.Module, case: Case) -> Told:
    """The policy's own word, shaken: ratios between about 0.5 and 2, some of which are clipped."""
    own = [np.array(plain_logprobs(model, case, row)) for row in range(len(case.completions))]
    return Told(
        *(
            [(each + noise).astype(np.float32) for each, noise in zip(own, rows, strict=True)]
            for rows in (case.noise(1), case.noise(2), case.noise(3))
        )
    )


def plain(model: nn.Module, case: Case, said: Told) -> Plain:
    """Loss and gradient with nothing saved."""
    sums: dict[str, float] = {}

    def total(parameters: dict) -> mx.array:
        model.update(parameters)
        loss = mx.array(0.0)
        sums.update(kl_reference=0, kl_sampler=0, ratio_mean=0, clip_share=0, entropy=0)
        for row, weight in enumerate(case.weights()):
            logits = plain_logits(model, case, row)
            logprobs = plain_logprobs(model, case, row)
            ratio = mx.exp(logprobs - mx.array(said.proximal[row]))
            advantage = float(case.advantages[row])
            surrogate = -mx.minimum(ratio * advantage, mx.clip(ratio, 0.8, 1.2) * advantage)
            above = mx.array(said.reference[row]) - logprobs
            k3 = mx.exp(above) - above - 1
            loss = loss + weight * (surrogate + BETA * k3).sum()

            beyond = ratio > 1.2 if advantage > 0 else ratio < 0.8
            off = mx.array(said.sampler[row]) - logprobs
            p = mx.softmax(logits, axis=-1)
            for name, value in {
                "kl_reference": k3.sum() * weight / case.token_share(),
                "kl_sampler": (mx.exp(off) - off - 1).sum(),
                "ratio_mean": ratio.sum(),
                "clip_share": beyond.sum(),
                "entropy": -(p * mx.log(p)).sum(),
            }.items():
                sums[name] += mx.stop_gradient(value).item() * case.token_share()
        return loss

    parameters = model.trainable_parameters()
    model.update(parameters)
    value = total(parameters).item()
    kept = dict(sums)
    # Numbers cannot be taken out of a function while it is differentiated.
    gradient = mx.grad(lambda tree: plain_loss(model, tree, case, said))(parameters)
    model.update(parameters)
    return Plain(
        value, **kept, gradient={name: np.array(each) for name, each in tree_flatten(gradient)}
    )


def plain_loss(model: nn.Module, parameters: dict, case: Case, said: Told) -> mx.array:
    return mx.array(0.0)
