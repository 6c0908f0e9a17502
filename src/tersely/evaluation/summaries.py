"""Summaries of a split: greedy, or sampled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from tersely.evaluation.decoding import DecodingConfig
from tersely.policy.tokenizer import Tokenizer
from tersely.records import Example, FinishReason, Prompt, Rollout
from tersely.rollout.decode import Completion, Transform, decode
from tersely.seeds import derive

BATCH = 64
"""Summaries decoded together."""


@dataclass(frozen=True)
class Summary:
    """What the policy wrote for one example."""

    example: Example
    text: str
    length: int
    """Tokens, without the end of turn."""
    stopped: bool
    """Whether the policy ended its turn before the token limit."""
    sample: int | None = None
    """Which of the example's sampled summaries it is, from 0; None of a greedy one."""
    token_ids: tuple[int, ...] = ()
    """As decoded, the end of turn included."""

    def as_rollout(self) -> Rollout:
        """For a reward, which scores rollouts; of no use to train on."""
        reason: FinishReason = "stop" if self.stopped else "length"
        return Rollout(self.token_ids, (), reason, policy_version=0, text=self.text)


def greedy_summaries(
    model: nn.Module,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    max_tokens: int,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Summary]:
    """The most likely continuation of each prompt, token by token, in the prompts' order."""
    decoding = DecodingConfig(max_tokens=max_tokens)
    return write_summaries(model, tokenizer, prompts, decoding, progress=progress)


def write_summaries(
    model: nn.Module,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    decoding: DecodingConfig,
    seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Summary]:
    """`decoding.samples` summaries of each prompt, in the prompts' order.

    Prompts of like length are decoded together. `progress` is told again and again how many
    summaries are done. What is sampled depends on `seed` and on all of the prompts: the same
    ones give the same summaries.
    """
    samples = decoding.samples
    by_length = sorted(range(len(prompts)), key=lambda place: len(prompts[place].token_ids))
    written: dict[int, list[Summary]] = {}
    at_once = max(1, BATCH // samples)
    for start in range(0, len(by_length), at_once):
        places = by_length[start : start + at_once]
        decoded = decode(
            model,
            [prompts[place].token_ids for place in places],
            group_size=samples,
            max_tokens=decoding.max_tokens,
            end_of_turn_ids=tokenizer.end_of_turn_ids,
            advanced=partial(_add, len(written) * samples, progress),
            **_drawing(decoding, seed, start),
        )
        for place, completions in zip(places, decoded, strict=True):
            example = prompts[place].example
            written[place] = [
                _summary(example, completion, tokenizer, None if decoding.greedy else sample)
                for sample, completion in enumerate(completions)
            ]
        mx.clear_cache()
        progress(len(written) * samples)
    return [summary for place in range(len(prompts)) for summary in written[place]]


def _drawing(decoding: DecodingConfig, seed: int, start: int) -> dict[str, Any]:
    """What `decode` draws tokens with; nothing where it takes the most likely one."""
    if decoding.greedy:
        return {}
    return {
        "transform": Transform(decoding.temperature, decoding.top_p),
        "key": mx.random.key(derive(seed, "evaluation", start)),
    }


def _summary(
    example: Example, completion: Completion, tokenizer: Tokenizer, sample: int | None
) -> Summary:
    stopped = completion.finish_reason == "stop"
    return Summary(
        example=example,
        text=tokenizer.decode(completion.token_ids),
        length=len(completion.token_ids) - stopped,
        stopped=stopped,
        sample=sample,
        token_ids=tuple(completion.token_ids),
    )


def _add(before: int, progress: Callable[[int], None], ended: int) -> None:
    progress(before + ended)
