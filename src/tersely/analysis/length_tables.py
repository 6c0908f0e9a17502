"""The tables about length: how long the summaries are, and what that does to the comparisons."""

from statistics import fmean

from tersely.analysis.document import Cell, Table, number, p_value, table, words
from tersely.analysis.length import EqualLength, Within, within_budget
from tersely.analysis.results import Results
from tersely.analysis.sides import Side
from tersely.analysis.tables import interval_cell, sides_shown
from tersely.analysis.undecided import Undecided
from tersely.evaluation.lengths import TOLERANCE, length_metrics


def length_table(results: Results) -> Table:
    """Distributions of the summaries' lengths."""
    columns = ("configuration", "mean", "std", "min", "p50", "p90", "p95", "p99", "max")
    rows = []
    for name, side in sides_shown(results):
        found = length_metrics(side.lengths, side.target)
        stopped = fmean(bool(row.get("stopped")) for row in side.rows)
        rows.append(
            [
                words(name),
                *(number(found[f"length_{column}"], ".1f") for column in columns[1:]),
                number(found["length_mean_abs_error"], ".1f"),
                number(found[f"within_{TOLERANCE}_share"], ".1%"),
                number(stopped, ".1%"),
            ]
        )
    return table(
        (*columns, "mean |L − target|", f"within ±{TOLERANCE}", "stopped"),  # noqa: RUF001
        rows,
        "Tokens of the policy's tokenizer, without the end of turn; all seeds together. Stopped: "
        "ended by itself, not at the token limit.",
    )


def equal_length_table(results: Results) -> Table:
    """What is left of the differences when neither side may win by length."""
    rows = []
    for each in results.against_baseline:
        equal, side = each.equal_length, results.sides[each.a]
        known = equal if isinstance(equal, EqualLength) else None
        within = within_of(results, side)
        rows.append(
            [
                words(each.a),
                words(each.b),
                number(each.mean_difference, "+.3f"),
                number(known.difference if known else None, "+.3f"),
                interval_cell(known.interval if known else None),
                p_value(known.p if known else None),
                number(known.per_token if known else None, "+.4f"),
                Cell(note_on(equal), note_on(equal)),
                number(within.mean),
                Cell(f"{within.count} of {within.of}", within.share),
                number(each.on_target.n, "d"),
                number(each.on_target.difference if each.on_target.n else None, "+.3f"),
                p_value(each.on_target.p if each.on_target.n > 1 else None),
            ]
        )
    return table(
        (
            "configuration",
            "against",
            "Δ",
            "Δ at equal length",
            "95 % interval",
            "p",
            "Δ a token",
            "note",
            "score within budget",
            "summaries within",
            "posts where both are",
            "Δ there",
            "p there",
        ),
        rows,
        "At equal length: the difference that a regression on the difference in length leaves "
        "where both summaries are equally long. Within budget: only summaries of the target's "
        f"length ± {TOLERANCE} tokens, whichever seeds wrote them. Tests over examples alone, on "
        "the means of a post's summaries.",
    )


def note_on(equal: EqualLength | Undecided) -> str:
    if isinstance(equal, Undecided):
        return equal.reason
    return "beyond the data" if equal.extrapolated else ""


def within_of(results: Results, side: Side) -> Within:
    return within_budget(*side.single(results.measure), side.target)
