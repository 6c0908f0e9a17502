"""Checks of what is compared: posts that are left out, and scores that some summaries lack."""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

from tersely.training.checks.seen import Check, Finding, Seen

METRIC_MISSING = "metric_missing"
LEFT_OUT_SHARE = 0.05
"""Share of the training posts left out for their length that is too large to be a few outliers."""


class Scored(Protocol):
    """The scores of one summary, as `evaluation.scores.SummaryScores` has them."""

    @property
    def overlap(self) -> Mapping[str, float]: ...
    @property
    def facts(self) -> Mapping[str, float]: ...


class PromptsCut(Check):
    """Many training posts are missing because their prompts are too long.

    Prompts are never truncated here, as the study's were; what is too long is left out.
    """

    name: ClassVar[str] = "prompts_cut"

    def look(self, seen: Seen) -> str | None:
        posts = self.setting.posts
        left_out = posts - self.setting.prompts
        if left_out <= LEFT_OUT_SHARE * posts:
            return None
        return (
            f"{left_out} of {posts} training posts are left out, because their prompts are "
            "longer than prompt.max_tokens: what is learned is learned of the shorter ones. Set "
            "prompt.max_tokens higher; the log says which value keeps them all"
        )


def missing_scores(scores: Sequence[Scored]) -> Finding | None:
    """Where some of the summaries lack a score that others have, or it is not a number. Their
    means are then means over different posts."""
    rows = [{**each.overlap, **each.facts} for each in scores]
    names = dict.fromkeys(name for row in rows for name in row)
    have = {name: sum(math.isfinite(row.get(name, math.nan)) for row in rows) for name in names}
    partly = [f"{name} ({count})" for name, count in have.items() if count < len(rows)]
    if not partly:
        return None
    return Finding(
        METRIC_MISSING,
        f"of {len(rows)} summaries some have no score: {', '.join(partly)} have one. Means of "
        "different posts cannot be compared; give every post what the score needs (facts, "
        "references), or compare runs on those posts alone that have it",
    )
