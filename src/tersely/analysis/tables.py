"""The tables of a report."""

from statistics import fmean, stdev

from tersely.analysis.comparison import Comparison
from tersely.analysis.document import (
    MISSING,
    Cell,
    Table,
    number,
    p_value,
    shown,
    table,
    words,
)
from tersely.analysis.measures import JUDGED, LABELS, mean_of
from tersely.analysis.paired import Interval
from tersely.analysis.results import Results, before_label, mean_score
from tersely.analysis.runs import CURVES
from tersely.analysis.seeds import SeedTest
from tersely.analysis.sides import Side
from tersely.analysis.undecided import Undecided
from tersely.evaluation.composite import METRICS

LAST = 5
"""Training steps whose mean says how a run ended."""


def score_table(results: Results) -> Table:
    """Every configuration's means, and what the policies scored before training."""
    measure, judged = results.measure, results.measure.columns == JUDGED
    columns = ["configuration", "seeds", measure.name]
    columns += ["± seeds"] if any(len(s.tables) > 1 for s in results.sides.values()) else []
    columns += ["mean of 4"] if judged else []
    columns += [LABELS[column] for column in results.beside]
    columns += ["pass rate", "rounds"] if results.pass_rates else []
    rows = [score_row(results, name, side, columns) for name, side in sides_shown(results)]
    return table(
        columns,
        rows,
        f"Means over the test split's summaries, of all seeds. {measure.name[0].upper()}"
        f"{measure.name[1:]}: {measure.meaning}, 0 to {measure.most:g}."
        + (" ± seeds: standard deviation of the seeds' means." if "± seeds" in columns else "")
        + (
            " Pass rate: share of rounds in which all four metrics are at least 0.5; rounds: "
            "those that have all four and count."
            if results.pass_rates
            else ""
        ),
    )


def sides_shown(results: Results) -> list[tuple[str, Side]]:
    """The configurations, and for each model what it wrote before training."""
    shown_sides = list(results.sides.items())
    seen = set()
    for each in results.configurations:
        if each.model in seen or each.name not in results.before:
            continue
        seen.add(each.model)
        one = results.before[each.name]
        label = before_label(results, each.model)
        shown_sides.append((label, Side(label, one.tables[:1], one.target)))
    return shown_sides


def score_row(results: Results, name: str, side: Side, columns: list[str]) -> list[Cell]:
    measure = results.measure
    mean = mean_score(side, measure)
    highest = max(
        (m for s in results.sides.values() if (m := mean_score(s, measure)) is not None),
        default=None,
    )
    is_before = name not in results.sides
    row = [words(name), number(None if is_before else len(side.tables), "d")]
    row.append(number(mean, strong=mean is not None and mean == highest and not is_before))
    if "± seeds" in columns:
        row.append(number(seed_spread(results, side)))
    if "mean of 4" in columns:
        row.append(number(None if mean is None else mean / len(METRICS)))
    row += [number(mean_of(side.rows, column)) for column in results.beside]
    if "pass rate" in columns:
        rate = results.pass_rates.get(name)
        row.append(number(None if rate is None else rate.rate, ".1%"))
        row.append(number(None if rate is None else rate.rounds, "d"))
    return row


def seed_spread(results: Results, side: Side) -> float | None:
    means = [mean_of([{"s": s} for s in run.values()], "s") for run in side.by_run(results.measure)]
    there = [mean for mean in means if mean is not None]
    return stdev(there) if len(there) > 1 else None


def difference_table(comparisons: tuple[Comparison, ...]) -> Table:
    """The test that the report goes by, alone and among its family."""
    rows = [
        [
            words(each.a),
            words(each.b),
            number(each.n, "d"),
            number(each.missing, "d"),
            number(each.difference, "+.3f", strong=each.survives),
            interval_cell(each.interval),
            number(each.decides.statistic, ".2f"),
            p_value(each.p if each.n > 1 else None),
            p_value(each.adjusted.adjusted if each.adjusted else None),
            words(verdict(each)),
        ]
        for each in comparisons
    ]
    return table(
        (
            "configuration",
            "against",
            "n",
            "missing",
            "Δ",
            "95 % interval",
            "t",
            "p",
            "Holm p",
            "verdict",
        ),
        rows,
        "Δ: mean difference on the same posts. With two seeds or more on both sides t, p and the "
        "interval take examples and seeds as two sources of variance; with one they are those of "
        "the two-sided paired t-test. Holm p: "
        "what is left of p when all rows of this table are judged together.",
    )


def verdict(each: Comparison) -> str:
    if each.n < 2:
        return "not tested"
    if not each.survives:
        return "not detected"
    return "higher" if each.difference > 0 else "lower"


def other_tests_table(comparisons: tuple[Comparison, ...]) -> Table:
    """The same differences by the tests that the report does not go by."""
    rows = [
        [
            words(f"{each.a} against {each.b}"),
            number(each.paired.statistic, ".2f"),
            p_value(each.paired.p),
            interval_cell(each.bootstrap),
            p_value(each.one_sided.p),
            p_value(each.wilcoxon.p),
            p_value(each.sign_flips.p),
            number(each.effect.corrected, "+.2f"),
            value_cell(each.smallest_paired),
            seed_share(each),
        ]
        for each in comparisons
    ]
    return table(
        (
            "comparison",
            "paired t",
            "p",
            "bootstrap interval",
            "one-sided p",
            "Wilcoxon p",
            "sign flips p",
            "d_z",
            "smallest Δ",
            "seeds' share",
        ),
        rows,
        "Tests over examples, on the means over seeds; paired t, two-sided, is the study's. "
        "Bootstrap interval: 95 %, BCa; on few examples it is narrower than p allows. d_z: "
        "the difference in standard deviations of the differences, corrected for small samples. "
        "Smallest Δ: what this paired t, by itself, shows with 80 % power at 5 %, with no variance "
        "between seeds. Seeds' share: of the variance of Δ, what only more seeds would lower.",
    )


def seed_share(each: Comparison) -> Cell:
    if isinstance(each.seeded, SeedTest):
        return number(each.seeded.shares.seeds, ".0%")
    return Cell(MISSING)


def best_table(results: Results) -> Table:
    """The best of each strategy, and whether the better strategy is."""
    rows = []
    for best, test in zip(results.best, results.best_compared, strict=True):
        rows.append(
            [
                words(best.model),
                words(best.joint),
                number(test.mean_b),
                number(fmean(results.sides[best.joint].lengths), ".1f"),
                words(best.staged),
                number(test.mean_a),
                number(fmean(results.sides[best.staged].lengths), ".1f"),
                number(test.difference, "+.3f", strong=test.survives),
                interval_cell(test.interval),
                p_value(test.p if test.n > 1 else None),
                p_value(test.adjusted.adjusted if test.adjusted else None),
            ]
        )
    return table(
        (
            "model",
            "best joint",
            "score",
            "tokens",
            "best staged",
            "score ",
            "tokens ",
            "Δ staged − joint",  # noqa: RUF001
            "95 % interval",
            "p",
            "Holm p",
        ),
        rows,
        "The best of several is chosen on the posts that it is then tested on, so its score is "
        "flattered; the table below compares the strategies reward by reward, without a choice.",
    )


def training_table(results: Results) -> Table:
    """How the training of each configuration ended: the mean of its last steps."""
    rows = []
    for each in results.configurations:
        row = [words(each.name)]
        for key in CURVES:
            last = [v for run in each.runs for v in list(run.series.get(key, {}).values())[-LAST:]]
            row.append(number(fmean(last) if last else None, ".4g"))
        rows.append(row)
    return table(
        ("configuration", *CURVES.values()),
        rows,
        f"Means over the last {LAST} steps of training, and over seeds.",
    )


def interval_cell(interval: Interval | Undecided | None) -> Cell:
    if not isinstance(interval, Interval):
        return Cell(MISSING)
    return Cell(f"{shown(interval.low)} to {shown(interval.high)}", interval.low)


def value_cell(value: float | Undecided) -> Cell:
    return Cell(MISSING) if isinstance(value, Undecided) else number(value)
