"""Greedy summaries of a split."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import mlx.core as mx
import mlx.nn as nn

from tersely.policy.tokenizer import Tokenizer
from tersely.records import Example, Prompt
from tersely.rollout.decode import decode

BATCH = 64
"""Prompts decoded together."""


@dataclass(frozen=True)
class Summary:
    """What the policy wrote for one example."""

    example: Example
    text: str
    length: int
    """Tokens, without the end of turn."""
    stopped: bool
    """Whether the policy ended its turn before the token limit."""


def greedy_summaries(
    model: nn.Module,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    max_tokens: int,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Summary]:
    """The most likely continuation of each prompt, token by token, in the prompts' order.

    Prompts of like length are decoded together. `progress` is told again and again how many
    are done.
    """
    by_length = sorted(range(len(prompts)), key=lambda place: len(prompts[place].token_ids))
    written: dict[int, Summary] = {}
    for start in range(0, len(by_length), BATCH):
        places = by_length[start : start + BATCH]
        decoded = decode(
            model,
            [prompts[place].token_ids for place in places],
            group_size=1,
            max_tokens=max_tokens,
            end_of_turn_ids=tokenizer.end_of_turn_ids,
            advanced=partial(_add, len(written), progress),
        )
        for place, (completion,) in zip(places, decoded, strict=True):
            stopped = completion.finish_reason == "stop"
            written[place] = Summary(
                example=prompts[place].example,
                text=tokenizer.decode(completion.token_ids),
                length=len(completion.token_ids) - stopped,
                stopped=stopped,
            )
        mx.clear_cache()
        progress(len(written))
    return [written[place] for place in range(len(prompts))]


def _add(before: int, progress: Callable[[int], None], ended: int) -> None:
    progress(before + ended)
