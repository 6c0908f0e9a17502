"""The vocabulary: what travels from data to prompts, rollouts, rewards and the update.

All records are frozen. Shapes in other modules' docstrings use `P` prompts, `G` rollouts of a
prompt and `T` completion tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Fact:
    """One thing that a post tells and that a good summary repeats."""

    slot: str
    """What kind of thing it is: who, what, where, when, ending, ask."""
    forms: tuple[str, ...]
    """Every wording that states it, lower case; a summary states the fact if it contains one."""


@dataclass(frozen=True)
class Example:
    """A post with its reference summaries, as the data has them."""

    id: str
    post: str
    references: tuple[str, ...]
    domain: str = ""
    facts: tuple[Fact, ...] = ()
    """Empty where the data does not say what the facts are (all real data)."""


@dataclass(frozen=True)
class Prompt:
    """An example and the token ids that ask the policy to summarise its post."""

    example: Example
    token_ids: tuple[int, ...]


@dataclass(frozen=True)
class Rollout:
    """One completion, exactly as sampled, with what is needed to train on it."""

    token_ids: tuple[int, ...]
    """Sampled ids, the end-of-turn token included when it was sampled."""
    sampler_logprobs: tuple[float, ...]
    """Log-probability of each id under the sampling weights at the sampling temperature, in
    nats; a nucleus (`rollout.top_p`) restricts the draw and is not in it."""
    finish_reason: FinishReason
    """`stop`: the policy ended its turn; `length`: the token limit cut it."""
    policy_version: int
    """How many optimizer updates the sampling weights had seen."""
    text: str

    @property
    def length(self) -> int:
        """Tokens of the summary, without the end-of-turn token."""
        return len(self.token_ids) - (self.finish_reason == "stop")


@dataclass(frozen=True)
class Group:
    """The rollouts of one prompt."""

    prompt: Prompt
    rollouts: tuple[Rollout, ...]


@dataclass(frozen=True)
class Batch:
    """The groups of one optimizer step."""

    step: int
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Scores:
    """The reward terms of one group, unweighted, and their mix."""

    terms: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Term name -> one score a rollout, shape `[G]`."""
    reward: tuple[float, ...] = ()
    """Weighted sum of the terms, shape `[G]`."""
