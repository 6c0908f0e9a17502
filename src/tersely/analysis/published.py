"""The study's published numbers, read again.

Facts of "Length-Constrained Summarization with GRPO: Reward Signal Ablations on Reddit TL;DR":
the tables of scores, of paired t-tests against length-only and of lengths in tokens, on 200 test
posts judged in 5 rounds. What stands there is means; scores of single summaries are not public.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import Any

import numpy as np

from tersely.analysis.correlation import pearson
from tersely.analysis.family import Adjusted, holm
from tersely.analysis.paired import Alternative
from tersely.analysis.power import smallest_effect
from tersely.analysis.undecided import Undecided


@dataclass(frozen=True)
class Tokens:
    """Lengths of a configuration's summaries, in tokens."""

    mean: float
    std: float
    min: int
    p50: int
    p90: int
    p95: int
    p99: int
    max: int
    within_5_of_64: int
    """How many of the summaries have 59 to 69 tokens."""


@dataclass(frozen=True)
class Difference:
    """A published two-sided paired t-test."""

    difference: float
    t: float
    p: float

    def sd(self, n: int) -> float:
        """The standard deviation of the n differences, `|difference| sqrt(n) / |t|`, that the
        rounded numbers imply."""
        return abs(self.difference) * float(np.sqrt(n)) / abs(self.t)


@dataclass(frozen=True)
class PublishedRun:
    """A trained configuration."""

    model: str
    strategy: str
    reward: str
    """In this project's names; `length` is the study's length-only, the baseline of both
    strategies, and stands once, as joint."""
    composite: float
    """Sum of the four metrics."""
    scores: dict[str, float]
    """By metric, in [0, 1]."""
    pass_rate: float
    tokens: Tokens
    against_length_only: Difference | None = None
    """None for length-only itself."""

    @property
    def name(self) -> str:
        """`model / strategy / reward`"""
        return f"{self.model} / {self.strategy} / {self.reward}"


@dataclass(frozen=True)
class ZeroShot:
    """An untrained model with a prompt that asks for a length."""

    model: str
    prompt: str
    composite: float
    scores: dict[str, float]
    pass_rate: float


@dataclass(frozen=True)
class PromptsCompared:
    """Two prompts of an untrained model on one metric, or on the composite."""

    model: str
    metric: str
    fifty_words: float
    sixty_four_tokens: float
    test: Difference
    """`sixty_four_tokens - fifty_words`"""


@dataclass(frozen=True)
class Published:
    """What the study published, and what follows from it."""

    study: str
    examples: int
    rounds: int
    target_tokens: int
    zero_shot: tuple[ZeroShot, ...]
    prompts_compared: tuple[PromptsCompared, ...]
    runs: tuple[PublishedRun, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """In the order of the tables."""
        return tuple(dict.fromkeys(run.model for run in self.runs))

    @cached_property
    def compared(self) -> dict[str, Difference]:
        """The 24 comparisons against length-only, by the name of the run."""
        return {run.name: run.against_length_only for run in self.runs if run.against_length_only}

    def holm(self, alpha: float = 0.05) -> dict[str, Adjusted]:
        """The 24 comparisons judged together; the study judged each alone."""
        return holm({name: test.p for name, test in self.compared.items()}, alpha)

    def smallest_effects(self, alternative: Alternative = "two-sided") -> dict[str, float]:
        """For each comparison, the composite difference that its 200 examples show with 80 %
        power at the 5 % level, given the spread of the differences that its t implies."""
        effects = {}
        for name, test in self.compared.items():
            effect = smallest_effect(test.sd(self.examples), self.examples, alternative=alternative)
            assert not isinstance(effect, Undecided)
            effects[name] = effect
        return effects

    def follows_length(self, metric: str, strategy: str = "staged") -> dict[str, float | None]:
        """For each model, Pearson's correlation of a metric's mean with the mean length over the
        strategy's six configurations, length-only left out."""
        found = {}
        for model in self.models:
            runs = [
                run
                for run in self.runs
                if (run.model, run.strategy) == (model, strategy) and run.reward != "length"
            ]
            found[model] = pearson(
                [run.tokens.mean for run in runs], [run.scores[metric] for run in runs]
            )
        return found


def published() -> Published:
    """The packaged numbers."""
    read = json.loads(
        resources.files("tersely.analysis").joinpath("published.json").read_text("utf-8")
    )
    return Published(
        study=read["study"],
        examples=read["examples"],
        rounds=read["rounds"],
        target_tokens=read["target_tokens"],
        zero_shot=tuple(ZeroShot(**row) for row in read["zero_shot"]),
        prompts_compared=tuple(prompts_compared(row) for row in read["prompts_compared"]),
        runs=tuple(published_run(row) for row in read["runs"]),
    )


def prompts_compared(row: dict[str, Any]) -> PromptsCompared:
    test = Difference(*(row.pop(key) for key in ("difference", "t", "p")))
    return PromptsCompared(test=test, **row)


def published_run(row: dict[str, Any]) -> PublishedRun:
    test = row.pop("against_length_only", None)
    return PublishedRun(
        tokens=Tokens(**row.pop("tokens")),
        against_length_only=Difference(**test) if test else None,
        **row,
    )
