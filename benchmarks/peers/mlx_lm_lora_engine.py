"""mlx-lm-lora: the gradient of its `train_grpo`, as the `step` in there computes it.

A micro-batch is as many rows as there are prompts, here one. Its ratio is 1 by definition, so
it asks for no log-probabilities of the sampler. Variants: as it comes, and `checkpointed`.
"""

from typing import Any

from peers.measured import Order, read_order
from peers.on_mlx import load_model, load_openblas, measure

COMPUTES = {"end_of_turn": "trained", "normaliser": "sequence", "ratio": "1", "kl": "off"}


def main(order: Order) -> None:
    """Measure it."""
    load_openblas()
    import mlx.core as mx
    import mlx.nn as nn
    from mlx_lm_lora.trainer.grpo_trainer import _grpo_value_and_grad, grpo_loss
    from mlx_lm_lora.trainer.sft_trainer import grad_checkpoint

    model = load_model(order)
    if order.variant == "checkpointed":
        grad_checkpoint(model.layers[0])
    value_and_grad = nn.value_and_grad(model, grpo_loss)

    def update() -> tuple[Any, Any]:
        (loss, _, _), gradient = _grpo_value_and_grad(
            value_and_grad,
            model,
            1,
            batch=([order.prompt], [[]], [""], [""], None),
            completions=[mx.array(completion) for completion in order.completions],
            completion_texts=[""] * len(order.completions),
            batch_indices=[0] * len(order.completions),
            advantages=mx.array(order.advantages),
            reward_metrics={},
            beta=0.0,
            epsilon=0.2,
            epsilon_high=None,
            ref_model=None,
            grpo_loss_type="grpo",
            importance_sampling_level="token",
            max_tokens=max(map(len, order.completions)),
        )
        return loss, gradient

    measure(order, model, update, COMPUTES, ["mlx-lm-lora"])


if __name__ == "__main__":
    main(read_order())
