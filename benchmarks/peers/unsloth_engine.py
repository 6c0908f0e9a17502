"""Unsloth on MLX: the gradient of its GRPO loss, micro-batch by micro-batch.

Its trainer takes two completions at a time by default, averages their gradients and compiles
the step; so does this. Rollouts that are used once come without log-probabilities of the
policy before the update, and the ratio is 1. Variants: `cce-checkpointed` is the default (cut
cross-entropy, every layer checkpointed), `cce` and `logits` store what checkpointing drops.
"""

import os
from typing import Any

from peers.measured import Order, read_order
from peers.on_mlx import load_model, load_openblas, measure

COMPUTES = {"end_of_turn": "trained", "normaliser": "sequence", "ratio": "1", "kl": "off"}
ROWS = 2
"""Completions in a micro-batch."""
WIDTHS = 32
"""Its batches are padded to a multiple of this."""


def main(order: Order) -> None:
    """Measure it."""
    # Imported on Linux, the package asks for `unsloth` and torch. Its own switch for a process
    # that needs no GPU skips that; the MLX part uses neither.
    os.environ["UNSLOTH_ZOO_DISABLE_GPU_INIT"] = "1"
    load_openblas()
    import mlx.core as mx
    import mlx.nn as nn
    from mlx.utils import tree_map
    from unsloth_zoo.mlx.grpo import GRPOObjective, make_grpo_cce_loss_fn, make_grpo_loss_fn
    from unsloth_zoo.mlx.utils import apply_gradient_checkpointing

    model = load_model(order)
    if order.variant == "cce-checkpointed":
        apply_gradient_checkpointing(model)
    objective = GRPOObjective(loss_type="grpo", beta=0.0)
    if order.variant == "logits":
        loss = make_grpo_loss_fn(objective)
    else:
        loss = make_grpo_cce_loss_fn(model, objective)
        if loss._unsloth_grpo_scorer is None:
            raise RuntimeError("cut cross-entropy does not take this model")
    value_and_grad = nn.value_and_grad(model, loss)
    state = [model.state, mx.random.state]
    step = mx.compile(lambda *batch: value_and_grad(model, *batch), inputs=state, outputs=state)

    def update() -> tuple[Any, Any]:
        total, gradient = mx.array(0.0), None
        share = ROWS / len(order.completions)
        for first in range(0, len(order.completions), ROWS):
            (own_loss, _, _), own = step(*map(mx.array, micro_batch(order, first)))
            own = tree_map(lambda array: array * share, own)
            gradient = own if gradient is None else tree_map(mx.add, gradient, own)
            total = total + own_loss * share
            mx.eval(total, gradient)
        return total, gradient

    measure(order, model, update, COMPUTES, ["unsloth-zoo"])


def micro_batch(order: Order, first: int) -> tuple[list[Any], ...]:
    """Tokens, where completions begin and end, two counts that this normaliser does not use,
    advantages, and 1 for each row that counts."""
    group = order.completions[first : first + ROWS]
    rows = [[*order.prompt, *completion] for completion in group]
    width = -(-max(map(len, rows)) // WIDTHS) * WIDTHS
    return (
        [[*row, *([0] * (width - len(row)))] for row in rows],
        [[len(order.prompt), len(row)] for row in rows],
        [1.0, 1.0],
        order.advantages[first : first + ROWS],
        [1.0] * len(rows),
    )


if __name__ == "__main__":
    main(read_order())
