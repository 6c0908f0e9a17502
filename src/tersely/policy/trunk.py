"""Where a model ends and its LM head begins.

mlx-lm has no word for the two halves, but a convention: `model.model` gives hidden states, and
the head is `model.lm_head` or the embedding used backwards. Some architectures do more (they
scale or cap their logits), so the convention is tried on a few tokens before it is trusted.
"""

from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn

PROBE = (1, 2, 3, 4, 5)


class Halves(NamedTuple):
    """A model in two parts."""

    trunk: nn.Module
    """Token ids to hidden states; called as the whole model is."""
    head: nn.Module
    """Has the `weight` `[V, D]` whose product with a hidden state is its logits."""


def halves(model: nn.Module) -> Halves | None:
    """Trunk and LM head of `model`, or None where its logits are more than one product."""
    trunk = getattr(model, "model", None)
    if not isinstance(trunk, nn.Module):
        return None
    head: Any = getattr(model, "lm_head", None) or getattr(trunk, "embed_tokens", None)
    # A subclass (a quantized or an adapted layer) computes something else.
    if type(head) not in (nn.Linear, nn.Embedding) or "bias" in head:
        return None
    probe = mx.array([PROBE]) % head.weight.shape[0]
    try:
        # By the head's own function: a bfloat16 product may be summed in more than one way.
        apply = head.as_linear if isinstance(head, nn.Embedding) else head
        product = apply(trunk(probe))
    except (TypeError, ValueError):  # called in another way, or gives something else
        return None
    logits = model(probe)
    if product.shape != logits.shape:
        return None
    # The same product in the same type; a cap hardly shows where logits are small.
    bound = 1e-5 * mx.abs(logits).max()
    return Halves(trunk, head) if (mx.abs(product - logits).max() <= bound).item() else None
