"""From what the runs show to the page that says it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tersely.analysis import figures
from tersely.analysis.cautions import cautions
from tersely.analysis.curve_figures import curves
from tersely.analysis.document import Block, Figure, Page, Section
from tersely.analysis.drawing import Picture
from tersely.analysis.headline import headline
from tersely.analysis.length_tables import equal_length_table, length_table
from tersely.analysis.results import Results
from tersely.analysis.tables import (
    best_table,
    difference_table,
    other_tests_table,
    score_table,
    training_table,
)


@dataclass
class Gallery:
    """The pictures of a page, written to their files as they are hung."""

    folder: Path
    names: list[str] = field(default_factory=list)

    @property
    def files(self) -> list[Path]:
        """Of the pictures that hang, each in two forms."""
        return [self.folder / f"{name}.{form}" for name in self.names for form in ("svg", "png")]

    def hang(self, name: str, picture: Picture, caption: str) -> Figure:
        picture.write(self.folder, name)
        self.names.append(name)
        return Figure(name, caption, picture.on_page)


def page(title: str, results: Results, gallery: Gallery) -> Page:
    """Every section that the runs have something for; their pictures go to the gallery."""
    sections = [
        Section("Scores", (score_table(results),)),
        Section("Differences", tuple(_differences(results, gallery))),
        Section("Staged and joint", tuple(_strategies(results))),
        Section("Length", tuple(_length(results, gallery))),
        Section("Correlations", tuple(_correlations(results, gallery))),
        Section("Training", tuple(_training(results, gallery))),
    ]
    return Page(
        title=title,
        headline=headline(results),
        warnings=tuple(cautions(results)),
        sections=tuple(section for section in sections if section.blocks),
    )


def _differences(results: Results, gallery: Gallery) -> Iterator[Block]:
    tested = results.against_baseline
    if not tested:
        return
    picture = figures.differences(tested, results.measure.name)
    yield gallery.hang(
        "differences", picture, "Filled: detected once all comparisons are judged together (Holm)."
    )
    yield difference_table(tested)
    yield other_tests_table(tested)


def _strategies(results: Results) -> Iterator[Block]:
    if results.best:
        yield best_table(results)
    if results.same_reward:
        yield difference_table(results.same_reward)
        yield other_tests_table(results.same_reward)


def _length(results: Results, gallery: Gallery) -> Iterator[Block]:
    yield gallery.hang("lengths", figures.lengths(results), "Lengths after training, all seeds.")
    yield length_table(results)
    if results.against_baseline:
        yield equal_length_table(results)
    yield gallery.hang(
        "frontier",
        figures.frontier(results),
        "Quality against keeping to the target: a configuration is better than another where its "
        f"line is above in both panels. Means of fewer than {figures.LEAST} summaries are left "
        "out.",
    )


def _correlations(results: Results, gallery: Gallery) -> Iterator[Block]:
    columns = [*results.columns, "length"]
    yield gallery.hang(
        "correlations",
        figures.heat_maps(results.correlations, columns),
        "Pearson's r of scores and length over summaries, those of all configurations with the "
        "same model and strategy together, as in the study. Blank where one of the two does not "
        "vary.",
    )


def _training(results: Results, gallery: Gallery) -> Iterator[Block]:
    models = dict.fromkeys(each.model for each in results.configurations)
    for place, model in enumerate(models):
        name = "curves" if len(models) == 1 else f"curves-{place + 1}"
        of_model = [each for each in results.configurations if each.model == model]
        picture = curves(of_model, name)
        if picture is not None:
            yield gallery.hang(
                name,
                picture,
                f"{model + ': m' if len(models) > 1 else 'M'}eans over seeds; long curves are "
                "running medians. The dotted line is the target length.",
            )
    if any(run.series for each in results.configurations for run in each.runs):
        yield training_table(results)
