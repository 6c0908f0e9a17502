"""The gradient of corrected rollouts, in chunks, against the loss written out row by row."""

from collections.abc import Callable

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten

from tersely.objective.config import GrpoConfig
from tersely.objective.correction_config import (
    CorrectionConfig,
    Level,
    MisConfig,
    NoCorrection,
    TisConfig,
)
from tersely.objective.losses import LossInputs
from tersely.policy.load import Policy
from tersely.policy.logprobs import Scorer, completion_mask, padded
from tersely.training.chunks import Plan, split
from tersely.training.gradient import GroupTokens, group_gradient

Load = Callable[..., Policy]

PROMPT = [5, 9, 301, 77, 8, 400, 401]
COMPLETIONS = [
    [(37 * row + 11 * at) % 2048 for at in range(1 + (7 * row) % 23)] for row in range(6)
]
"""1, 8, 15, 22, 6 and 13 tokens."""
LENGTHS = [len(each) for each in COMPLETIONS]
ADVANTAGES = [1.0, -1.0, 0.5, -0.5, 1.5, -2.0]
LENGTH = 24

CORRECTIONS = pytest.mark.parametrize(
    "correction",
    [
        NoCorrection(),
        TisConfig(cap=1.2),
        TisConfig(level=Level.sequence),
        MisConfig(level=Level.token, cap=1.2),
        MisConfig(cap=1.5),
    ],
    ids=["none", "tis token", "tis sequence", "mis token", "mis sequence"],
)


def logprobs_of(model: nn.Module, row: int) -> mx.array:
    """`[T]`, by the plain path: no cache, no padding."""
    logits = model(mx.array([[*PROMPT, *COMPLETIONS[row]]]))[0, len(PROMPT) - 1 : -1]
    logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    return logprobs[mx.arange(LENGTHS[row]), mx.array(COMPLETIONS[row])]


def near(model: nn.Module, spread: float, seed: int) -> list[np.ndarray]:
    """What another says of the tokens: the policy's own word with noise."""
    draw = np.random.default_rng(seed)
    return [
        np.array(logprobs_of(model, row)) + spread * draw.standard_normal(length)
        for row, length in enumerate(LENGTHS)
    ]


def weight(correction: CorrectionConfig, proximal: np.ndarray, sampler: np.ndarray) -> np.ndarray:
    """Of each token, in NumPy."""
    if isinstance(correction, NoCorrection):
        return np.ones_like(sampler)
    assert isinstance(correction, TisConfig | MisConfig)
    off = proximal - sampler
    w = np.exp(off if correction.level is Level.token else np.full_like(off, off.sum()))
    if isinstance(correction, TisConfig):
        return np.minimum(w, correction.cap)
    return np.where(w <= correction.cap, w, 0)


def plain_gradient(
    model: nn.Module,
    correction: CorrectionConfig,
    proximal: list[np.ndarray],
    sampler: list[np.ndarray],
) -> dict[str, np.ndarray]:
    """Every completion by itself."""

    def loss() -> mx.array:
        total = mx.array(0.0)
        for row, advantage in enumerate(ADVANTAGES):
            anchor = proximal[row] if correction.decoupled else sampler[row]
            ratio = mx.exp(logprobs_of(model, row) - mx.array(anchor, mx.float32))
            surrogate = mx.minimum(ratio * advantage, mx.clip(ratio, 0.8, 1.2) * advantage)
            w = mx.array(weight(correction, proximal[row], sampler[row]), mx.float32)
            total = total - (w * surrogate).mean() / len(COMPLETIONS)
        return total

    gradient = nn.value_and_grad(model, loss)()[1]
    return {name: np.array(array) for name, array in tree_flatten(gradient)}


@CORRECTIONS
@pytest.mark.parametrize("only_update", [False, True])
@pytest.mark.parametrize("architecture", ["qwen2", "lfm2"])
def test_chunks_have_the_gradient_of_the_whole(
    architecture: str, only_update: bool, correction: CorrectionConfig, eager: Load
) -> None:
    """The sampler is off by 0.3 a token, so that some are beyond the cap and some are not; so is
    the proximal policy, unless it is the policy itself."""
    model = eager(architecture).model
    sampler = near(model, 0.3, seed=1)
    proximal = near(model, 0.0 if only_update else 0.3, seed=2)
    expected = plain_gradient(model, correction, proximal, sampler)
    inputs = LossInputs(
        proximal_logprobs=None if only_update else padded([p.tolist() for p in proximal], LENGTH),
        sampler_logprobs=padded([s.tolist() for s in sampler], LENGTH),
        reference_logprobs=None,
        advantages=mx.array(ADVANTAGES),
        mask=completion_mask(COMPLETIONS, LENGTH),
        weights=mx.array([1 / (len(COMPLETIONS) * length) for length in LENGTHS]),
        token_share=1 / sum(LENGTHS),
    )
    loss = GrpoConfig(beta=0.0).build(correction.build())
    group = GroupTokens(PROMPT, COMPLETIONS, inputs)

    for plan in (
        Plan(split(LENGTHS, 6), together=True, checkpoint=False),
        Plan(split(LENGTHS, 2), together=False, checkpoint=False),
        Plan(split(LENGTHS, 1), together=False, checkpoint=True),
    ):
        found = group_gradient(Scorer(model), loss, group, plan)

        assert (0 < found.parts.loss.capped_share.item() < 1) == correction.decoupled
        whole = np.linalg.norm([np.linalg.norm(array) for array in expected.values()])
        for name, array in tree_flatten(found.gradient):
            off = np.linalg.norm(expected[name] - np.array(array))
            assert off <= 2e-5 * max(np.linalg.norm(expected[name]), whole / 100), name
