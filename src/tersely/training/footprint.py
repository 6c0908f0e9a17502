"""How much memory an update takes: an estimate from the shapes of a model, made before it runs.

An estimate and not a measurement, so that the same configuration makes the same chunks, and with
them the same float32 sums, on every run. Tests hold it against the peak that MLX reports.
"""

import os
from collections.abc import Sequence

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from tersely.policy.cpu_functions import keeps_scores
from tersely.policy.lm_head import BLOCK_BYTES
from tersely.policy.logprobs import Scorer
from tersely.training.chunks import Chunk, Plan

SHARE_OF_MEMORY = 0.7
"""Of the machine's memory is used where `trainer.memory_limit_gb` is not set."""

KEPT = 1.3
"""Bytes kept for the backward pass over bytes that go in and out of matrices: norms, rotations
and activations add to those."""

SCORES_IN_FLIGHT = 8
"""Arrays of the size of one layer's attention scores that stand beside each other."""

BLOCKS_IN_FLIGHT = 16
"""Blocks of the LM head that MLX prepares ahead."""

EMBEDDINGS_IN_FLIGHT = 3
"""Arrays of the size of the embedding beside its summed gradient: what comes from the head, what
comes from the first layer, and their sum. They are of the weights' type; where that is narrower,
one more stands in float32 on its way to the summed gradient."""

FLOAT32_BYTES = 4

LOGITS_IN_FLIGHT = 5
"""Arrays of the size of the logits, where the LM head cannot be taken off: the most that was
measured, with a cap on logits."""


def memory_limit_gb() -> float:
    """What an update may take on this machine: what Metal advises, or a share of the memory of
    the device that computes."""
    if mx.default_device().type == mx.DeviceType.gpu:
        device = mx.device_info()
        if "max_recommended_working_set_size" in device:
            return float(device["max_recommended_working_set_size"]) / 1e9
        memory = device.get("total_memory", device.get("memory_size"))
        if memory:
            return SHARE_OF_MEMORY * float(memory) / 1e9
    return SHARE_OF_MEMORY * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


class Footprint:
    """Working memory of chunks: what stands above weights, gradients and optimizer state."""

    def __init__(self, scorer: Scorer) -> None:
        model = scorer.model
        embedding = max(array.size for _, array in tree_flatten(model.parameters()))
        self._item = next(array.itemsize for _, array in tree_flatten(model.parameters()))
        self._layers = [_matrix_sides(layer) for layer in model.layers]
        self._width = _width(model)
        self._heads = getattr(getattr(model, "args", None), "num_attention_heads", 1)
        self._state = _state_per_token(scorer)
        self._shares_prompt = scorer.shares_prompt
        trained = max(array.size for _, array in tree_flatten(model.trainable_parameters()))
        self._vocabulary = BLOCKS_IN_FLIGHT * BLOCK_BYTES
        if trained == embedding:
            self._vocabulary += EMBEDDINGS_IN_FLIGHT * embedding * self._item
            if self._item < FLOAT32_BYTES:
                self._vocabulary += embedding * FLOAT32_BYTES
        self._keeping_layers = 0
        if keeps_scores(model):
            self._keeping_layers = sum(hasattr(layer, "self_attn") for layer in model.layers)
        self._logits = 0 if scorer.fuses_head else LOGITS_IN_FLIGHT * 4 * embedding // self._width

    def working_bytes(self, prompt: int, plan: Plan) -> int:
        """Peak of working through a group with a prompt of `prompt` tokens."""
        if plan.together:
            return self._pass(prompt, plan.chunks, plan.checkpoint)
        alone = max(self._pass(0, [chunk], plan.checkpoint, prompt) for chunk in plan.chunks)
        return max(alone, self._pass(prompt, [], plan.checkpoint))

    def _pass(self, prompt: int, chunks: Sequence[Chunk], checkpoint: bool, before: int = 0) -> int:
        """Peak of one pass over `prompt` tokens and `chunks`, which look back on them and on
        `before` tokens whose state is there already."""
        tokens, keys, scores = prompt, 0, prompt * prompt
        all_scores, logits = scores, 0
        for chunk in chunks:
            seen = prompt + before + chunk.length
            queries = chunk.tokens
            if not self._shares_prompt:
                queries = len(chunk.rows) * seen
            tokens += queries
            keys += len(chunk.rows) * seen
            scores = max(scores, queries * seen)
            all_scores += queries * seen
            logits += queries * self._logits
        kept, in_layers = sum(self._layers), self._keeping_layers * all_scores
        if checkpoint:
            in_layers = 0
            kept = 2 * self._width * len(self._layers) + 2 * max(self._layers)
        return int(
            KEPT * tokens * kept * self._item
            + keys * self._state * self._item
            + (SCORES_IN_FLIGHT * scores + in_layers) * self._heads * 4
            + self._vocabulary
            + logits
        )


def _matrix_sides(layer: nn.Module) -> int:
    """Numbers that go into and come out of the matrices of a layer, for each token."""
    return sum(sum(array.shape) for _, array in tree_flatten(layer.parameters()) if array.ndim == 2)


def _width(model: nn.Module) -> int:
    """Size of a hidden state: the last axis of the largest matrix, the embedding."""
    largest = max((array for _, array in tree_flatten(model.parameters())), key=lambda a: a.size)
    return int(largest.shape[-1])


def _state_per_token(scorer: Scorer) -> float:
    """Numbers that the caches keep for each token."""
    length = 8
    state = scorer.state_of([1] * (length + 1))
    if state is None:
        return 0.0
    return sum(array.size for layer in state for array in layer) / length
