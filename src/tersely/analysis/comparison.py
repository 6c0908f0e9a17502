"""Two sides compared by every test there is, and families of such comparisons."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from tersely.analysis.family import Adjusted, holm
from tersely.analysis.length import EqualLength, at_equal_length
from tersely.analysis.measures import Measure
from tersely.analysis.paired import (
    EffectSize,
    Interval,
    PairedTest,
    Pairs,
    effect_size,
    mean_interval,
    pair,
    paired_t,
    sign_flips,
    t_interval,
    wilcoxon,
)
from tersely.analysis.power import smallest_effect
from tersely.analysis.seeds import SeedTest, by_seed, seed_test
from tersely.analysis.sides import Side
from tersely.analysis.undecided import Undecided

SEED = 0
"""Of everything that is resampled, so that a report can be made again."""


@dataclass(frozen=True)
class OnTarget:
    """The same comparison on the posts where both sides keep to the target."""

    n: int
    difference: float
    p: float
    """Paired t, two-sided."""


@dataclass(frozen=True)
class Comparison:
    """`a - b` on the posts that both have scores for."""

    a: str
    b: str
    seeds: tuple[int, int]
    """How many each side has."""
    n: int
    missing: int
    """Posts left out because a score is missing."""
    mean_a: float
    mean_b: float
    paired: PairedTest
    """Two-sided, on the means over seeds: as in the study."""
    one_sided: PairedTest
    """That `a` is above `b`."""
    wilcoxon: PairedTest
    sign_flips: PairedTest
    paired_interval: Interval | Undecided
    """The one that belongs to `paired`."""
    bootstrap: Interval | Undecided
    """Over examples alone."""
    effect: EffectSize
    spread: float
    """Standard deviation of the examples' differences."""
    seeded: SeedTest | Undecided
    """Over examples and seeds."""
    equal_length: EqualLength | Undecided
    on_target: OnTarget
    adjusted: Adjusted | None = None
    """`p` among the others of its family; None where there are fewer than two pairs."""
    level: float = 0.05
    """What `p` has to be below for the difference to be there whatever the others of its family
    show: 5 %, over their number. Holm's procedure asks that of the smallest p."""

    @property
    def difference(self) -> float:
        return self.seeded.difference if isinstance(self.seeded, SeedTest) else self.mean_difference

    @property
    def mean_difference(self) -> float:
        return self.mean_a - self.mean_b

    @property
    def decides(self) -> PairedTest | SeedTest:
        """The test that the report goes by: over examples and seeds where there are seeds."""
        return self.seeded if isinstance(self.seeded, SeedTest) else self.paired

    @property
    def over_seeds(self) -> bool:
        """Whether that is a statement about configurations, not about two checkpoints."""
        return isinstance(self.seeded, SeedTest)

    @property
    def p(self) -> float:
        return self.decides.p

    @property
    def interval(self) -> Interval | Undecided:
        """Of the difference, 95 %, by the test that decides."""
        return self.seeded.interval if isinstance(self.seeded, SeedTest) else self.paired_interval

    @property
    def smallest_paired(self) -> float | Undecided:
        """The smallest difference that `paired` shows with 80 % power at 5 %, by itself."""
        return smallest_effect(self.spread, self.n)

    @property
    def smallest_there(self) -> float | Undecided:
        """The smallest difference that the test that decides shows with 80 % power at `level`, and
        so in its family."""
        if isinstance(self.seeded, SeedTest):
            return self.seeded.smallest(self.level)
        return smallest_effect(self.spread, self.n, alpha=self.level)

    @property
    def survives(self) -> bool:
        """Whether it is there when the whole family is judged together."""
        return self.adjusted is not None and self.adjusted.survives


def compare(a: Side, b: Side, measure: Measure) -> Comparison:
    """`a` against `b`, `a - b`."""
    pairs = pair(a.averaged(measure), b.averaged(measure))
    lengths_a, lengths_b = a.mean_lengths(), b.mean_lengths()
    within = pair(*_shared(a.on_target(measure), b.on_target(measure)))
    return Comparison(
        a=a.name,
        b=b.name,
        seeds=(len(a.tables), len(b.tables)),
        n=len(pairs),
        missing=pairs.missing,
        mean_a=_mean(pairs.a.tolist()),
        mean_b=_mean(pairs.b.tolist()),
        paired=paired_t(pairs),
        one_sided=paired_t(pairs, "greater"),
        wilcoxon=wilcoxon(pairs),
        sign_flips=sign_flips(pairs, SEED),
        paired_interval=t_interval(pairs),
        bootstrap=mean_interval(pairs, SEED),
        effect=effect_size(pairs),
        spread=pairs.difference_sd,
        seeded=seed_test(by_seed(a.by_run(measure), b.by_run(measure))),
        # Means over seeds need not be whole numbers, and the regression takes them as they are.
        equal_length=at_equal_length(
            pairs, cast(dict[str, int], lengths_a), cast(dict[str, int], lengths_b)
        ),
        on_target=_on_target(within),
    )


def family(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with what is left of each p when all are judged together (Holm)."""
    tested = {str(place): each.p for place, each in enumerate(comparisons) if each.n > 1}
    adjusted = holm(tested)
    level = 0.05 / max(1, len(tested))
    return [
        replace(each, adjusted=adjusted.get(str(place)), level=level)
        for place, each in enumerate(comparisons)
    ]


def _shared(
    a: dict[str, float | None], b: dict[str, float | None]
) -> tuple[dict[str, float | None], dict[str, float | None]]:
    both = a.keys() & b.keys()
    return {key: a[key] for key in both}, {key: b[key] for key in both}


def _on_target(pairs: Pairs) -> OnTarget:
    return OnTarget(len(pairs), pairs.mean_difference, paired_t(pairs).p)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
