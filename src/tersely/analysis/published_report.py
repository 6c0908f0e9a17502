"""The study's published numbers as a report: what of them stands when they are read together."""

from typing import Any

from tersely.analysis.document import (
    Figure,
    Page,
    Section,
    Table,
    number,
    p_value,
    shown,
    table,
    words,
)
from tersely.analysis.drawing import COLOURS, Picture, canvas, finished
from tersely.analysis.numbers import plain
from tersely.analysis.published import Published, published
from tersely.analysis.sections import Gallery

ALPHA = 0.05
EXAMPLE = "Qwen2.5-0.5B / joint / rouge"
"""The comparison that says what the study's n can show: the closest call that Holm leaves out."""
METRICS = ("faithfulness", "coverage", "conciseness", "clarity")


def published_page(gallery: Gallery) -> Page:
    """The whole reading."""
    study = published()
    return Page(
        title="The study's published numbers, read again",
        headline=headline(study),
        warnings=(
            "Published are means and tests, not the scores of single summaries: nothing here can "
            "be compared at equal length, and staged with joint cannot be tested.",
            "Every configuration was trained with one seed, so the tests are about checkpoints.",
        ),
        sections=(
            Section("Comparisons with length-only", (comparison_table(study),)),
            Section("Length", (length_figure(study, gallery), follows_table(study))),
            Section("Scores", (score_table(study), zero_shot_table(study))),
            Section("Prompts", (prompt_table(study),)),
        ),
    )


def headline(study: Published) -> str:
    judged = study.holm(ALPHA)
    alone = [name for name, each in judged.items() if each.p < ALPHA]
    left = [name for name, each in judged.items() if each.survives]
    lost = [name for name in alone if name not in left]
    follows = {
        metric: " and ".join(
            f"{shown(r)} ({model})" for model, r in study.follows_length(metric).items()
        )
        for metric in ("coverage", "conciseness")
    }
    return (
        f"Of the study's {len(judged)} comparisons with length-only {len(alone)} have p below "
        f"0.05, and {len(left)} of those are left when all are judged together (Holm); "
        f"{' and '.join(lost)} are not. Its {study.examples} examples show a composite difference "
        f"of {shown(study.smallest_effects()[EXAMPLE])} with 80 % power where differences spread "
        f"as for {EXAMPLE}. Among staged configurations coverage follows the mean length with r = "
        f"{follows['coverage']}, and conciseness with r = {follows['conciseness']}, so the staged "
        "scores cannot be told from their lengths."
    )


def comparison_table(study: Published) -> Table:
    judged, smallest = study.holm(ALPHA), study.smallest_effects()
    rows = [
        [
            words(name),
            number(test.difference, "+.3f", strong=judged[name].survives),
            number(test.t, ".2f"),
            p_value(test.p),
            p_value(judged[name].adjusted),
            words(verdict(test.difference, judged[name].survives)),
            number(smallest[name]),
        ]
        for name, test in study.compared.items()
    ]
    return table(
        ("configuration", "Δ composite", "t", "p", "Holm p", "verdict", "smallest Δ"),
        rows,
        f"Two-sided paired t-tests on {study.examples} examples, as published; Holm p over all "
        f"{len(rows)}. Smallest Δ: what so many examples show with 80 % power at 5 %, with the "
        "spread of differences that the published t implies.",
    )


def verdict(difference: float, survives: bool) -> str:
    if not survives:
        return "not detected"
    return "higher" if difference > 0 else "lower"


def follows_table(study: Published) -> Table:
    rows = [
        [words(model), words(strategy), *(number(r[metric][model], "+.3f") for metric in METRICS)]
        for strategy in ("staged", "joint")
        for r in [{metric: study.follows_length(metric, strategy) for metric in METRICS}]
        for model in study.models
    ]
    return table(
        ("model", "strategy", *METRICS),
        rows,
        "Pearson's r of a metric's mean with the mean length, over the six configurations of a "
        "model and strategy, length-only left out.",
    )


def score_table(study: Published) -> Table:
    rows = [
        [
            words(run.name),
            number(run.composite),
            *(number(run.scores[metric]) for metric in METRICS),
            number(run.pass_rate, ".1%"),
            number(run.tokens.mean, ".1f"),
            number(run.tokens.std, ".1f"),
            number(run.tokens.p95, "d"),
            number(run.tokens.within_5_of_64, "d"),
        ]
        for run in study.runs
    ]
    return table(
        (
            "configuration",
            "composite",
            *METRICS,
            "pass rate",
            "mean tokens",
            "std",
            "p95",
            f"within 5 of {study.target_tokens}",
        ),
        rows,
        f"As published; the last column counts summaries out of {study.examples}.",
    )


def zero_shot_table(study: Published) -> Table:
    rows = [
        [
            words(each.model),
            words(each.prompt),
            number(each.composite),
            *(number(each.scores[metric]) for metric in METRICS),
            number(each.pass_rate, ".1%"),
        ]
        for each in study.zero_shot
    ]
    caption = "Untrained models with a prompt that asks for a length, as published."
    return table(("model", "prompt", "composite", *METRICS, "pass rate"), rows, caption)


def prompt_table(study: Published) -> Table:
    rows = [
        [
            words(each.model),
            words(each.metric),
            number(each.fifty_words),
            number(each.sixty_four_tokens),
            number(each.test.difference, "+.3f"),
            number(each.test.t, ".2f"),
            p_value(each.test.p),
        ]
        for each in study.prompts_compared
    ]
    return table(
        ("model", "metric", "50 words", "64 tokens", "Δ", "t", "p"),
        rows,
        "The two zero-shot prompts against each other, as published.",
    )


def length_figure(study: Published, gallery: Gallery) -> Figure:
    return gallery.hang(
        "published-lengths",
        length_picture(study),
        "Mean scores against mean length. Filled: staged; hollow: joint.",
    )


def length_picture(study: Published) -> Picture:
    with canvas(10, 4.2) as figure:
        for axes, metric in zip(figure.subplots(1, 2), ("coverage", "conciseness"), strict=True):
            for colour, model in zip(COLOURS, study.models, strict=False):
                for strategy in ("staged", "joint"):
                    runs = [r for r in study.runs if (r.model, r.strategy) == (model, strategy)]
                    axes.plot(
                        [run.tokens.mean for run in runs],
                        [run.scores[metric] for run in runs],
                        "o",
                        mec=colour,
                        mfc=colour if strategy == "staged" else "none",
                        label=f"{model} {strategy}",
                    )
            axes.axvline(study.target_tokens, lw=1, ls=":", color=COLOURS[2])
            axes.set_xlabel("mean length, tokens")
            axes.set_ylabel(metric)
            axes.grid(axis="y")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
        return finished(figure, "published-lengths")


def published_json() -> dict[str, Any]:
    """The published numbers and what follows from them."""
    study = published()
    found = plain(study)
    assert isinstance(found, dict)
    return {
        **found,
        "holm": plain(study.holm(ALPHA)),
        "smallest_effects": plain(study.smallest_effects()),
        "follows_length": {
            f"{strategy} {metric}": plain(study.follows_length(metric, strategy))
            for strategy in ("staged", "joint")
            for metric in METRICS
        },
    }
