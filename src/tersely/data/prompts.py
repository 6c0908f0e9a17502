"""Prompts: the system prompt, and the token ids that ask the policy for a summary.

A post that is too long is left out and counted. Nothing is truncated: half a post has another
summary.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from tersely.errors import ConfigError, DataError
from tersely.records import Example, Prompt

log = logging.getLogger(__name__)

SHORTEST_LIMIT = 16

_SUMMARISE = (
    "You write good summaries. The user gives a post. Write its summary and keep every main point."
)


@dataclass
class PromptConfig:
    """What the policy is asked, and how long a prompt may be."""

    system: str = _SUMMARISE
    """System turn before the post; empty for a template without a system role."""
    max_tokens: int = 768
    """Longest prompt, in tokens of the policy's tokenizer, chat template included; at least 16.
    The study's posts have up to 414 tokens of its models; the embedded model's small vocabulary
    needs about twice as many for real posts."""

    def __post_init__(self) -> None:
        try:
            self.system.encode()
        except UnicodeEncodeError as error:
            raise ConfigError(
                "prompt.system has half a character (a lone surrogate), which no tokenizer can "
                f"read: {self.system[error.start : error.start + 1]!a} at place "
                f"{error.start}; write it in whole characters"
            ) from error
        if self.max_tokens < SHORTEST_LIMIT:
            raise ConfigError(
                f"prompt.max_tokens must be at least {SHORTEST_LIMIT}, got {self.max_tokens}: a "
                "chat template alone needs that many; 768 is the default"
            )


@dataclass
class PlainPrompt(PromptConfig):
    """Asks for a summary and gives no length: the study's training prompt."""


@dataclass
class FiftyWordsPrompt(PromptConfig):
    """Asks for 50 words."""

    system: str = f"{_SUMMARISE} Use exactly 50 words."


@dataclass
class SixtyFourTokensPrompt(PromptConfig):
    """Asks for 64 tokens."""

    system: str = f"{_SUMMARISE} Use exactly 64 tokens."


class PromptEncoder(Protocol):
    """The part of the policy's tokenizer that makes a prompt."""

    def encode_prompt(self, system: str, post: str) -> tuple[int, ...]:
        """Ids of the chat template with a system turn, the post and an open assistant turn."""
        ...


def make_prompts(
    examples: Iterable[Example], tokenizer: PromptEncoder, config: PromptConfig, split_name: str
) -> tuple[Prompt, ...]:
    """One prompt an example, in order; those over `config.max_tokens` are left out and logged.

    Raises `DataError` if nothing is left.
    """
    prompts = [
        Prompt(example, tokenizer.encode_prompt(config.system, example.post))
        for example in examples
    ]
    if not prompts:
        raise DataError(f"{split_name}: there are no posts to make prompts of")
    long = [prompt for prompt in prompts if len(prompt.token_ids) > config.max_tokens]
    if len(long) == len(prompts):
        raise DataError(_describe(long, len(prompts), config, split_name))
    if long:
        log.warning("%s", _describe(long, len(prompts), config, split_name))
    return tuple(prompt for prompt in prompts if len(prompt.token_ids) <= config.max_tokens)


def _describe(long: list[Prompt], total: int, config: PromptConfig, split_name: str) -> str:
    longest = max(len(prompt.token_ids) for prompt in long)
    return (
        f"{split_name}: left out {len(long)} of {total} posts ({len(long)} over "
        f"prompt.max_tokens={config.max_tokens}); first is {long[0].example.id}, the longest "
        f"prompt has {longest} tokens; prompt.max_tokens={longest} keeps them all"
    )
