"""A report, from the question to its files."""

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from tersely.analysis.collect import collect, sweep_folder
from tersely.analysis.config import ReportConfig
from tersely.analysis.document import Page
from tersely.analysis.html import html
from tersely.analysis.markdown import markdown
from tersely.analysis.measures import LABELS
from tersely.analysis.numbers import report_json
from tersely.analysis.results import Results, analyse
from tersely.analysis.sections import Gallery, page
from tersely.analysis.summaries import side_by_side, write_csv
from tersely.errors import DataError
from tersely.sweep.names import safe_name
from tersely.tracking.config import MlflowTracking

log = logging.getLogger(__name__)

SUMMARIES = "summaries.csv"
FILES = ("report.md", "report.html", "report.json", SUMMARIES)
PUBLISHED = "published"


def make_report(config: ReportConfig) -> Path:
    """Write the report that `config` asks for and keep it in the store; its folder.

    Raises DataError, ConfigError or TrackingError with what to mend.
    """
    # First, so that a name that fits nothing leaves no folder behind.
    results = None if config.published else analyse(collect(config), config.baseline)
    folder = report_folder(config)
    gallery = Gallery(make_folder(folder) / "figures")
    if results is None:
        from tersely.analysis.published_report import published_json, published_page

        made = published_page(gallery)
        files = write(folder, made, published_json(), None)
    else:
        made = page(title(config), results, gallery)
        files = write(folder, made, report_json(made, results), results)
    keep(config, made, folder, files, gallery.files)
    log.info("%s", made.headline)
    for warning in made.warnings:
        log.warning("%s", warning)
    log.info("the report: %s", folder / "report.html")
    return folder


def make_folder(folder: Path) -> Path:
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"the report's folder {folder} cannot be written ({error.strerror}); set "
            "output=FOLDER to another place"
        ) from error
    return folder


def report_folder(config: ReportConfig) -> Path:
    """Where the report goes: beside the sweep's runs, else by its name among all sweeps."""
    if config.output is not None:
        return Path(config.output)
    beside = sweep_folder(config)
    if beside is not None:
        return beside / ("report" if config.evaluation is None else own_name(config.evaluation))
    name = config.sweep or config.experiment_name or (PUBLISHED if config.published else None)
    own = f"{datetime.now():%Y-%m-%d_%H-%M-%S}" if name is None else safe_name(name)
    return Path(config.folder) / "reports" / own


def own_name(evaluation: str) -> str:
    """A folder's, so that the report on an evaluation leaves the one on the runs as it is."""
    return safe_name(f"report-{evaluation.replace('/', '-')}")


def title(config: ReportConfig) -> str:
    said = f"{len(config.runs)} runs"
    if config.sweep is not None:
        said = f"Sweep {Path(config.sweep).name}"
    if config.experiment_name is not None:
        said = f"Experiment {config.experiment_name}"
    return said if config.evaluation is None else f"{said}, evaluation {config.evaluation}"


def write(
    folder: Path, made: Page, numbers: Mapping[str, Any], results: Results | None
) -> list[Path]:
    """The files of `FILES`, and which of them; without results there are no summaries to write."""
    (folder / "report.md").write_text(markdown(made), encoding="utf-8")
    text = json.dumps(numbers, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    posts, scores = None, []
    if results is not None:
        write_csv(results, folder / SUMMARIES)
        posts = side_by_side(results)
        scores = [results.measure.name, *(LABELS[column] for column in results.beside)]
    (folder / "report.html").write_text(html(made, posts, scores), encoding="utf-8")
    return [folder / name for name in FILES if results is not None or name != SUMMARIES]


def keep(
    config: ReportConfig, made: Page, folder: Path, files: list[Path], pictures: list[Path]
) -> None:
    """The files once more as a run of kind `report`, where there is a store.

    Only those of this report: an earlier one may have left others in the folder.
    """
    tracking = store_of(config)
    if tracking is None:
        return
    tracking.prepare()
    with tracking.build(folder / "tracked", made.title, {"kind": "report"}) as tracker:
        tracker.tags({"headline": made.headline})
        for file in files:
            tracker.artifact(file)
        for picture in pictures:
            tracker.artifact(picture, "figures")
        log.info("in MLflow (%s): %s", tracking.ui_command(), tracker.url)


def store_of(config: ReportConfig) -> MlflowTracking | None:
    """A report on an experiment is kept in that experiment; None without a store."""
    if not isinstance(config.tracking, MlflowTracking):
        return None
    return replace(config.tracking, experiment=config.experiment_name or config.tracking.experiment)
