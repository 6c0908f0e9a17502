"""The gradient of a batch's loss, group by group and chunk by chunk.

The prompt of a group goes through the model once; its state is given to all chunks of the group.
Where the chunks do not fit in memory together, each is pushed back as far as that state, what
arrives there is gathered over the chunks, and then goes through the prompt in one pass.
Sums are in float32, whatever the model computes in.
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import mlx.core as mx
from mlx.utils import tree_flatten, tree_unflatten

from tersely.objective.losses import Loss, LossInputs, LossParts
from tersely.policy.checkpointing import checkpointed_layers
from tersely.policy.logprobs import Scorer, Tokens
from tersely.policy.prompt_state import PromptState
from tersely.training.chunks import Chunk, Plan

Tree = Any
"""Arrays in the structure of `model.trainable_parameters()`."""


class GroupTokens(NamedTuple):
    """One group, ready for the loss."""

    prompt: Tokens
    completions: Sequence[Tokens]
    """G of them."""
    inputs: LossInputs
    """Of the whole group: R = G, T its longest completion rounded up."""


class Parts(NamedTuple):
    """What a pass reports; float32 scalars that add up over chunks."""

    loss: LossParts
    entropy: mx.array
    """Mean entropy of the policy over tokens, in nats; 0 unless asked for."""


class GradientSum:
    """A float32 gradient that grows by parts and stands in memory once.

    What is added is not computed before `evaluate`, which goes from the last leaf to the first:
    the backward pass reaches them in that order, so each is added and done with before the next.
    """

    def __init__(self) -> None:
        self._leaves: dict[str, mx.array] = {}

    def add(self, part: Tree) -> None:
        """Add a tree; the caller must let go of it, or its leaves stand beside their sums."""
        for name, array in tree_flatten(part):
            own = array.astype(mx.float32)
            held = self._leaves.pop(name, None)
            self._leaves[name] = own if held is None else held + own

    def evaluate(self) -> None:
        """Compute what was added."""
        for array in reversed(self._leaves.values()):
            mx.eval(array)

    def clip(self, most: float) -> float:
        """Scale the sum down to this Euclidean norm; returns the norm that it had."""
        norm = math.sqrt(sum(_sum_of_squares(array) for array in self._leaves.values()))
        if norm > most:
            self._leaves = {name: array * (most / norm) for name, array in self._leaves.items()}
        return norm

    def tree(self) -> Tree:
        """The sum, in the structure of what was added."""
        return tree_unflatten(list(self._leaves.items()))

    def take(self) -> Tree:
        """The sum, which is empty afterwards: whoever takes it can free it leaf by leaf."""
        tree = self.tree()
        self._leaves = {}
        return tree


def _sum_of_squares(array: mx.array) -> float:
    # Axis by axis: on a CPU MLX adds up one number after the other, and a float32 sum of the
    # hundred million squares of an embedding ends up a third short.
    total: Any = mx.square(array).sum(axis=-1).sum().item()
    return float(total)


class GroupGradient(NamedTuple):
    """The share of one group in its batch."""

    parts: Parts
    gradient: Tree
    """Of `parts.loss.total`, float32; added to what was there before, where there was."""


def group_gradient(
    scorer: Scorer,
    loss: Loss,
    group: GroupTokens,
    plan: Plan,
    *,
    entropy: bool = False,
    onto: GradientSum | None = None,
) -> GroupGradient:
    """Loss and gradient of one group over the trainable parameters of `scorer.model`.

    The model is left as it was. Chunks change time and memory, never the result (up to the
    order of float32 sums). The gradient is added to `onto`, if given.
    """
    total = GradientSum() if onto is None else onto
    chunked = _Chunked(scorer, loss, group, entropy)
    with _checkpoints(scorer, plan):
        try:
            work = chunked.at_once if plan.together else chunked.one_by_one
            parts = work(plan.chunks, total)
        finally:
            chunked.restore()
    return GroupGradient(parts, total.tree())


def group_logprobs(
    scorer: Scorer, prompt: Tokens, completions: Sequence[Tokens], chunks: Sequence[Chunk]
) -> mx.array:
    """`[G, T]` log-probabilities without a gradient, T the longest chunk; 0 for padding."""
    length = max(chunk.length for chunk in chunks)
    state = scorer.state_of(prompt)
    logprobs = mx.zeros((len(completions), length))
    for chunk in chunks:
        chosen = [completions[row] for row in chunk.rows]
        scores = scorer.score(prompt, state, chosen, chunk.length)
        logprobs[mx.array(chunk.rows), : chunk.length] = scores.logprobs
        mx.eval(logprobs, state)
    return logprobs


class _Chunked:
    """The functions of parameters that are differentiated."""

    def __init__(self, scorer: Scorer, loss: Loss, group: GroupTokens, entropy: bool) -> None:
        self._scorer, self._loss, self._group, self._entropy = scorer, loss, group, entropy
        self._parameters = scorer.model.trainable_parameters()

    def restore(self) -> None:
        self._scorer.model.update(self._parameters)

    def at_once(self, chunks: Sequence[Chunk], total: GradientSum) -> Parts:
        """One graph: the prompt and every chunk."""

        def whole(parameters: Tree) -> tuple[mx.array, Parts]:
            self._scorer.model.update(parameters)
            state = self._scorer.state_of(self._group.prompt)
            parts = _added([self._parts(chunk, state) for chunk in chunks])
            return parts.loss.total, parts

        (_, parts), own = mx.value_and_grad(whole)(self._parameters)
        total.add(own)
        del own
        total.evaluate()
        mx.eval(parts)
        return parts

    def one_by_one(self, chunks: Sequence[Chunk], total: GradientSum) -> Parts:
        """A graph for each chunk, then one for the prompt."""
        state = self._scorer.state_of(self._group.prompt)
        mx.eval(state)
        at_state = GradientSum()
        parts: list[Parts] = []
        for chunk in chunks:
            own_parts, own, own_at_state = self._chunk_gradient(chunk, state)
            total.add(own)
            at_state.add(own_at_state)
            del own, own_at_state
            total.evaluate()
            at_state.evaluate()
            mx.eval(own_parts)
            parts.append(own_parts)
        if state is not None:
            total.add(self._prompt_gradient(at_state.tree()))
            total.evaluate()
        return _added(parts)

    def _chunk_gradient(self, chunk: Chunk, state: PromptState | None) -> tuple[Parts, Tree, Tree]:
        """Parts of one chunk and its gradient in the parameters and in the prompt's state."""

        def own(parameters: Tree, state: PromptState | None) -> tuple[mx.array, Parts]:
            self._scorer.model.update(parameters)
            parts = self._parts(chunk, state)
            return parts.loss.total, parts

        if state is None:
            (_, parts), gradient = mx.value_and_grad(lambda tree: own(tree, None))(self._parameters)
            return parts, gradient, []
        both = mx.value_and_grad(own, argnums=(0, 1))
        (_, parts), (gradient, at_state) = both(self._parameters, state)
        return parts, gradient, at_state

    def _prompt_gradient(self, at_state: Tree) -> Tree:
        """What arrived at the prompt's state, pushed back through the prompt."""

        def product(parameters: Tree) -> mx.array:
            self._scorer.model.update(parameters)
            state = self._scorer.state_of(self._group.prompt)
            assert state is not None
            products = [
                (array.astype(mx.float32) * arrived).sum()
                for layer, layer_arrived in zip(state, at_state, strict=True)
                for array, arrived in zip(layer, layer_arrived, strict=True)
            ]
            return mx.stack(products).sum()

        return mx.grad(product)(self._parameters)

    def _parts(self, chunk: Chunk, state: PromptState | None) -> Parts:
        group = self._group
        inputs = group.inputs.take(chunk.rows, chunk.length)
        scores = self._scorer.score(
            group.prompt,
            state,
            [group.completions[row] for row in chunk.rows],
            chunk.length,
            entropy=self._entropy,
        )
        entropy = mx.array(0.0)
        if scores.entropy is not None:
            entropy = (scores.entropy * inputs.mask).sum() * inputs.token_share
        return Parts(self._loss(scores.logprobs, inputs), entropy)


def _checkpoints(scorer: Scorer, plan: Plan) -> AbstractContextManager[None]:
    return checkpointed_layers(scorer.model) if plan.checkpoint else nullcontext()


def _added(parts: Sequence[Parts]) -> Parts:
    """The sum of each field."""
    losses = (mx.stack(list(values)).sum() for values in zip(*(p.loss for p in parts), strict=True))
    return Parts(LossParts(*losses), mx.stack([each.entropy for each in parts]).sum())
