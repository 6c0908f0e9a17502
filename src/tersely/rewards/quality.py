"""What every quality reward shares: the best reference counts, an empty summary scores 0."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tersely.records import Group
from tersely.rewards.matching import Matching
from tersely.rewards.mixture import Term

Metric = Callable[[str, str], float]
"""A summary and one reference to a score."""


def best(metric: Metric, summary: str, references: Sequence[str]) -> float:
    """The highest score of `summary` over its references; 0 for a blank summary. A score that is
    not finite is given back as it is, for the caller to name."""
    if not summary.strip():
        return 0.0
    scores = [metric(summary, reference) for reference in references]
    # `max` would pass over a NaN, or not, by its place.
    return next((score for score in scores if not math.isfinite(score)), max(scores))


def quality_term(name: str, weight: float, metric: Metric) -> Term:
    """A term that scores each rollout of a group by `metric` against its best reference."""

    def score(group: Group) -> list[float]:
        references = group.prompt.example.references
        return [best(metric, rollout.text, references) for rollout in group.rollouts]

    return Term(name, weight, score)


@dataclass
class RewardConfig:
    """`reward=length`: no quality term. The other choices inherit from this one and add theirs.

    Every run scores its summaries by ROUGE-L, METEOR and BLEU after training, whichever it rewards,
    so how these are computed is set here.
    """

    meteor_matching: Matching = Matching.wordnet
    """`wordnet`, or `exact_and_stem` on a machine that cannot have WordNet: other, lower scores."""

    bleu_smooth: bool = True
    """Add one to the matches and the possible matches of every order. Off, as in the study, BLEU-4
    is 0 for every summary that shares no four words in a row with its reference: most of them."""

    def __post_init__(self) -> None:
        """Check the values; every choice calls its parents' check first."""

    def quality(self) -> tuple[Term, ...]:
        """The quality terms of this choice; finds what they need before any training."""
        return ()
