"""The computation that every other one is held against: nothing saved, nothing shared.

Each completion is a row with the whole prompt in front, logits at every position, softmax over
the vocabulary in float32, GRPO without its KL term (Shao et al., 2024, "DeepSeekMath", eq. 3).
The variant says how many rows are in memory at once.
"""

from typing import Any

from peers.measured import Order, read_order
from peers.on_mlx import load_model, load_openblas, measure

COMPUTES = {
    "end_of_turn": "trained",
    "normaliser": "sequence",
    "ratio": "real, policy over sampler",
    "kl": "off",
}


def main(order: Order) -> None:
    """Measure it."""
    load_openblas()
    import mlx.core as mx
    import mlx.nn as nn
    from mlx.utils import tree_map

    model = load_model(order)
    tokens = mx.array([[*order.prompt, *completion] for completion in order.completions])
    sampler_logprobs = mx.array(order.sampler_logprobs)
    advantages = mx.array(order.advantages)[:, None]

    def loss(model: Any, rows: slice) -> mx.array:
        logprobs = nn.log_softmax(model(tokens[rows, :-1]), axis=-1)
        chosen = mx.take_along_axis(logprobs, tokens[rows, 1:, None], axis=-1).squeeze(-1)
        ratio = mx.exp(chosen[:, len(order.prompt) - 1 :] - sampler_logprobs[rows])
        clipped = mx.clip(ratio, 0.8, 1.2)
        surrogate = mx.minimum(ratio * advantages[rows], clipped * advantages[rows])
        return -surrogate.mean(axis=-1).sum() / len(order.completions)

    value_and_grad = nn.value_and_grad(model, loss)
    at_once = int(order.variant)

    def update() -> tuple[Any, Any]:
        total, gradient = mx.array(0.0), None
        for first in range(0, len(order.completions), at_once):
            own_loss, own = value_and_grad(model, slice(first, first + at_once))
            gradient = own if gradient is None else tree_map(mx.add, gradient, own)
            total = total + own_loss
            mx.eval(total, gradient)
        return total, gradient

    measure(order, model, update, COMPUTES, [])


if __name__ == "__main__":
    main(read_order())
