"""What a check is: it sees every step of a stage and says one sentence once it is sure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, ClassVar, Self

import mlx.nn as nn

from tersely.policy.load import Policy
from tersely.records import Batch, Rollout, Scores
from tersely.rollout.sampler import RolloutConfig
from tersely.training.config import Precision, TrainerConfig
from tersely.training.precision import precision_of


@dataclass(frozen=True)
class Setting:
    """What is the same at all steps of a stage."""

    stage: str
    target: int
    """`length.target`, also where the stage does not reward length."""
    max_tokens: int
    """`rollout.max_tokens`"""
    max_staleness: int
    updates_per_step: int
    max_gradient_norm: float
    learning_rate: float
    """At its peak."""
    precision: Precision
    train_end_of_turn: bool
    end_of_turn_ids: frozenset[int]
    prompts: int
    """Of the training split."""
    posts: int
    """Of the training split, before those whose prompt is too long were left out."""

    @classmethod
    def of(
        cls,
        policy: Policy,
        trainer: TrainerConfig,
        rollout: RolloutConfig,
        *,
        stage: str,
        target: int,
        prompts: int,
        posts: int,
    ) -> Self:
        """That of a stage with these choices."""
        return cls(
            stage=stage,
            target=target,
            max_tokens=rollout.max_tokens,
            max_staleness=rollout.max_staleness,
            updates_per_step=trainer.updates_per_step,
            max_gradient_norm=trainer.max_gradient_norm,
            learning_rate=trainer.learning_rate,
            precision=precision_of(trainer),
            train_end_of_turn=trainer.train_end_of_turn,
            end_of_turn_ids=policy.tokenizer.end_of_turn_ids,
            prompts=prompts,
            posts=posts,
        )


@dataclass(frozen=True)
class Seen:
    """One step, as the trainer has it when its updates are made."""

    step: int
    """In the stage, from 1."""
    version: int
    """Updates that the policy had seen when the step began."""
    batch: Batch
    scores: Sequence[Scores]
    """One a group."""
    advantages: Sequence[Sequence[float]]
    """`[P, G]`"""
    metrics: Mapping[str, float]
    """What is logged of the step. One none of whose updates was made has no `loss/...`."""
    reference: nn.Module | None = None
    """The model of the KL term; None where the loss has none."""

    @property
    def rollouts(self) -> list[Rollout]:
        """Of all groups."""
        return [rollout for group in self.batch.groups for rollout in group.rollouts]

    @property
    def fresh(self) -> bool:
        """Whether the policy itself, as it was when the step began, sampled every rollout."""
        return all(rollout.policy_version == self.version for rollout in self.rollouts)


@dataclass(frozen=True)
class Finding:
    """What a check has found."""

    name: str
    """Of the check."""
    sentence: str
    """What was seen, why it matters, and what to set."""


class Check:
    """Looks for one thing in the steps of a stage."""

    name: ClassVar[str]
    """As in `checks/<name>` and in docs/checks.md."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def look(self, seen: Seen) -> str | None:
        """See the next step; a sentence where what this check looks for is there for sure."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """What it remembers, as JSON values."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember what `state()` gave."""


class Recent(Check):
    """Remembers one value of each of the last `window` steps."""

    window: ClassVar[int] = 10
    """Steps: enough that an odd batch decides nothing, and over before a short run is."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.recent: list[Any] = []

    def remember(self, value: Any) -> bool:
        """Add the value of this step; whether there is now one of `window` steps."""
        self.recent = [*self.recent, value][-self.window :]
        return len(self.recent) == self.window

    def mean(self) -> float:
        """Of what is remembered."""
        return fmean(self.recent)

    def state(self) -> dict[str, Any]:
        return {"recent": self.recent}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.recent = list(state["recent"])
