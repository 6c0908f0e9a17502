"""Named reward terms and their weighted sum."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tersely.errors import ConfigError, TrainingDiverged
from tersely.records import Group, Scores

LARGEST_REWARD = 1e30
"""Advantages of larger ones would not be exact, and of those near 1e308 not even numbers."""

WEIGHTS = (1e-6, 1e6)
"""Least and greatest weight: beyond them a reward is lost in the rounding of the others."""


def check_weight(key: str, weight: float) -> None:
    """Raise `ConfigError` unless `weight` is a finite number above 0 within `WEIGHTS`."""
    least, most = WEIGHTS
    if not least <= weight <= most:
        raise ConfigError(
            f"{key} must be a finite number above 0, got {weight}; from {least:g} to {most:g} can "
            "be meant, the study weighs every term 1. "
            "To leave a term out, choose a reward without it"
        )


@dataclass(frozen=True)
class Term:
    """One reward signal: a name, its weight in the sum, and the function that scores."""

    name: str
    weight: float
    score: Callable[[Group], list[float]]
    """A group to one unweighted score a rollout, shape `[G]`."""


@dataclass(frozen=True)
class Mixture:
    """The reward of a rollout: the weighted sum of its terms."""

    terms: tuple[Term, ...]

    def __post_init__(self) -> None:
        if not self.terms:
            raise ConfigError(
                "The reward has no terms, so there is nothing to learn from; reward=length has no "
                "quality term and needs a stage that scores length"
            )
        names = [term.name for term in self.terms]
        if len(set(names)) < len(names):
            raise ConfigError(f"Two reward terms share a name: {', '.join(names)}; rename one")

    def score(self, group: Group) -> Scores:
        """Score every rollout of `group` by every term.

        Raises `TrainingDiverged` if a term gives a number that is not finite.
        """
        terms = {term.name: _finite(term, group) for term in self.terms}
        weights = [term.weight for term in self.terms]
        rewards = tuple(
            sum(weight * score for weight, score in zip(weights, scores, strict=True))
            for scores in zip(*terms.values(), strict=True)
        )
        for index, reward in enumerate(rewards):
            if not abs(reward) <= LARGEST_REWARD:
                given = ", ".join(f"{name} {scores[index]}" for name, scores in terms.items())
                raise TrainingDiverged(
                    f"The reward of rollout {index} of example {group.prompt.example.id!r} is "
                    f"{reward} ({given}), above what can be compared within a group "
                    f"({LARGEST_REWARD:g}); lower the weights of its terms, or correct the term"
                )
        return Scores(terms=terms, reward=rewards)


def _finite(term: Term, group: Group) -> tuple[float, ...]:
    scores = tuple(term.score(group))
    _check_count(term, group, scores)
    for index, score in enumerate(scores):
        if not math.isfinite(score):
            raise TrainingDiverged(
                f"The reward term {term.name!r} gave {score} for rollout {index} of example "
                f"{group.prompt.example.id!r}; a reward must be a finite number, so the run stops "
                "before it reaches the weights. Score that summary by itself to find the cause"
            )
    return scores


def _check_count(term: Term, group: Group, scores: Sequence[float]) -> None:
    if len(scores) != len(group.rollouts):
        raise ValueError(
            f"reward term {term.name!r} gave {len(scores)} scores for {len(group.rollouts)} "
            f"rollouts of example {group.prompt.example.id!r}"
        )
