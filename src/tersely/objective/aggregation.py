"""How the losses of tokens become one number: what each token of a completion weighs.

The weights follow from the lengths alone. So they are known before the first log-probability is
computed, and the loss of a batch is a sum over its tokens that can be worked through in any
chunks.
"""

from collections.abc import Sequence
from enum import Enum


class Aggregation(Enum):
    """`loss.aggregation`. With P prompts, G rollouts each, L tokens in a rollout:"""

    sequence_mean = "sequence_mean"
    """`1 / (P G L)`: tokens are averaged in their completion, then completions. GRPO: Shao et
    al., 2024, "DeepSeekMath", eq. 3."""
    token_mean = "token_mean"
    """`1 / (sum of L)`: every token of the batch counts the same. DAPO: Yu et al., 2025, "DAPO:
    an open-source LLM reinforcement learning system at scale", eq. 8."""
    constant = "constant"
    """`1 / (P G max_tokens)`: a token weighs the same whatever the batch. Dr. GRPO: Liu et al.,
    2025, "Understanding R1-Zero-like training", section 3.2."""


def token_weights(
    aggregation: Aggregation, lengths: Sequence[Sequence[int]], max_tokens: int
) -> list[list[float]]:
    """`[P, G]`: the weight of each token of a completion, from the completions' lengths `[P, G]`.

    Lengths count the tokens that are learned: every sampled one, the end of turn included unless
    `trainer.train_end_of_turn` is off. Where there are none, the weight is 0. `max_tokens` is the
    longest that a completion may be.
    """
    prompts, tokens = len(lengths), sum(map(sum, lengths))

    def weight(length: int, rollouts: int) -> float:
        if not length:
            return 0.0
        if aggregation is Aggregation.token_mean:
            return 1 / tokens
        if aggregation is Aggregation.constant:
            return 1 / (prompts * rollouts * max_tokens)
        return 1 / (prompts * rollouts * length)

    return [[weight(length, len(group)) for length in group] for group in lengths]
