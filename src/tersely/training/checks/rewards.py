"""Checks of what is rewarded: whether each term has a say, and whether there is anything to say."""

from collections import Counter
from collections.abc import Sequence
from statistics import fmean, pstdev
from typing import Any, ClassVar

from tersely.records import Scores
from tersely.training.checks.seen import Recent, Seen
from tersely.training.metrics import ZERO_SPREAD

NO_SPREAD_SHARE = 0.5
"""Share of groups of equal rewards that is too large: half of what is sampled teaches nothing."""
DECIDES, IGNORED = 0.9, 0.1
"""Correlations of the advantage with a term above which it decides, and below which it has no
say. In the default run they are 0.9 and 0.6 at the most."""
FEWEST_GROUPS = 40
"""Groups over which correlations are averaged, at least: that of one group of eight has a standard
error of 0.38, the mean of forty one of 0.06."""
CONSTANT_SHARE = 0.9
"""Share of completions with one and the same score of a term that is too large. Unsmoothed BLEU-4
is 0 for a fifth of the embedded model's completions, and for most on real posts."""


class NoSpread(Recent):
    """The rewards of most groups are all equal."""

    name: ClassVar[str] = "no_spread"

    def look(self, seen: Seen) -> str | None:
        full = self.remember(seen.metrics["reward/zero_std_share"])
        if not full or self.mean() < NO_SPREAD_SHARE:
            return None
        return (
            f"in {self.mean():.0%} of the groups of the last {self.window} steps all completions "
            "had the same reward, and such a group teaches nothing: set a larger "
            "rollout.group_size, a reward that tells completions apart (reward.bleu_smooth=true, "
            "length.floor=null), or a lower length.target if all are at their best"
        )


class OneTermDecides(Recent):
    """One reward term drowns another: the study's joint runs rewarded length and little else."""

    name: ClassVar[str] = "one_term_decides"
    window: ClassVar[int] = 20

    def look(self, seen: Seen) -> str | None:
        sums: dict[str, tuple[float, int]] = {}
        for scores, advantages in zip(seen.scores, seen.advantages, strict=True):
            for term, own in scores.terms.items():
                found = correlation(advantages, own)
                if found is not None:
                    total, count = sums.get(term, (0.0, 0))
                    sums[term] = total + found, count + 1
        if not self.remember(sums):
            return None
        means = {
            term: sum(total for total, _ in each) / sum(count for _, count in each)
            for term, each in self._by_term().items()
            if sum(count for _, count in each) >= FEWEST_GROUPS
        }
        deciding = max(means, key=lambda term: means[term], default=None)
        ignored = min(means, key=lambda term: means[term], default=None)
        if deciding is None or ignored is None:
            return None
        if means[deciding] <= DECIDES or means[ignored] >= IGNORED:
            return None
        return (
            f"the reward term {deciding} alone decides: over the last {self.window} steps the "
            f"advantage correlates with it by {means[deciding]:.2f} and with {ignored} by "
            f"{means[ignored]:.2f}, so {ignored} is not learned. The term that differs most within "
            f"a group wins; set a higher weight for {ignored} or a lower one for {deciding} "
            "(length.weight, reward.<term>_weight), or strategy=staged"
        )

    def _by_term(self) -> dict[str, list[tuple[float, int]]]:
        found: dict[str, list[tuple[float, int]]] = {}
        for step in self.recent:
            for term, sums in step.items():
                found.setdefault(term, []).append(sums)
        return found


class TermConstant(Recent):
    """A reward term gives nearly every completion the same score."""

    name: ClassVar[str] = "term_constant"

    def look(self, seen: Seen) -> str | None:
        full = self.remember({name: _commonest(name, seen.scores) for name in _names(seen.scores)})
        if not full:
            return None
        for name in self.recent[-1]:
            steps = [step.get(name, (None, 0.0)) for step in self.recent]
            value = steps[-1][0]
            share = fmean(each[1] for each in steps)
            if share < CONSTANT_SHARE or any(each[0] != value for each in steps):
                continue
            # All at the target is what the length term is for.
            if value is None or (name == "length" and value == 0):
                continue
            return (
                f"the reward term {name} was {value:g} for {share:.0%} of the completions of the "
                f"last {self.window} steps: it tells next to none of them apart, so it is not "
                f"learned{_REMEDY.get(name, '; look at the summaries and at how it scores them')}"
            )
        return None


_REMEDY = {
    "bleu": ". BLEU-4 without smoothing is 0 where no four words in a row match; set "
    "reward.bleu_smooth=true",
    "length": ". All are equally long or all at length.floor; set rollout.max_tokens above the "
    "lengths that are written, and length.floor=null",
}


def correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Pearson's, of two numbers a rollout; None where either is constant."""
    own, others = pstdev(one), pstdev(other)
    if own < ZERO_SPREAD or others < ZERO_SPREAD:
        return None
    centre, other_centre = fmean(one), fmean(other)
    together = fmean((a - centre) * (b - other_centre) for a, b in zip(one, other, strict=True))
    return together / (own * others)


def _names(scores: Sequence[Scores]) -> list[str]:
    return list(dict.fromkeys(name for group in scores for name in group.terms))


def _commonest(name: str, scores: Sequence[Scores]) -> Any:
    """The score that most completions of a step have, and their share."""
    values = [round(value, 6) for group in scores for value in group.terms.get(name, ())]
    if not values:
        return None, 0.0
    value, count = Counter(values).most_common(1)[0]
    return value, count / len(values)
