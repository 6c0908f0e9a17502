"""This project's own gradient. The variant says how many completions a chunk has."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from peers.measured import Order, read_order
from peers.on_mlx import load_model, measure
from tersely.policy.allocator import keep_freed_memory
from tersely.policy.blas import load_fast_blas

if TYPE_CHECKING:
    import mlx.nn as nn

COMPUTES = {
    "end_of_turn": "trained",
    "normaliser": "sequence",
    "ratio": "real, policy over sampler",
    "kl": "off",
}


def updater(model: "nn.Module", order: Order) -> Callable[[], tuple[Any, Any]]:
    """What computes loss and gradient of the group."""
    import mlx.core as mx

    from tersely.objective.aggregation import Aggregation, token_weights
    from tersely.objective.config import GrpoConfig
    from tersely.objective.losses import LossInputs
    from tersely.policy.logprobs import Scorer, completion_mask
    from tersely.training.chunks import plans
    from tersely.training.gradient import GroupTokens, group_gradient

    lengths = [len(completion) for completion in order.completions]
    plan = next(plans(lengths, int(order.variant), checkpoint=False))
    sampler_logprobs = mx.array(order.sampler_logprobs)
    inputs = LossInputs(
        proximal_logprobs=sampler_logprobs,
        sampler_logprobs=sampler_logprobs,
        reference_logprobs=None,
        advantages=mx.array(order.advantages),
        mask=completion_mask(order.completions, max(lengths)),
        weights=mx.array(token_weights(Aggregation.sequence_mean, [lengths], max(lengths))[0]),
        token_share=1 / sum(lengths),
    )
    group = GroupTokens(order.prompt, order.completions, inputs)
    scorer, loss = Scorer(model), GrpoConfig(beta=0.0).build()

    def update() -> tuple[Any, Any]:
        parts, gradient = group_gradient(scorer, loss, group, plan)
        return parts.loss.total, gradient

    return update


def main(order: Order) -> None:
    """Measure it."""
    load_fast_blas()
    keep_freed_memory()
    from tersely.policy.cpu_functions import use_cpu_functions

    model = load_model(order)
    use_cpu_functions(model)
    measure(order, model, updater(model, order), COMPUTES, ["tersely"])


if __name__ == "__main__":
    main(read_order())
