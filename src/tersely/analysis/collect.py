"""Which runs a report is on, and where they are read from."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tersely.analysis.config import ReportConfig
from tersely.analysis.runs import Run, read_run
from tersely.called import called
from tersely.errors import DataError
from tersely.tracking.config import MlflowTracking

if TYPE_CHECKING:
    from tersely.tracking.stored_runs import RunStore, StoredRun


def collect(config: ReportConfig) -> list[Run]:
    """The training runs that `config` names, finished or not.

    A run is read from its folder where that is still its own, else from the store.
    Raises DataError where a run, a sweep or an experiment is not to be found or has no runs.
    """
    if config.experiment_name is not None:
        runs = _from_store(config, "experiment", config.experiment_name)
    elif config.sweep is not None:
        runs = _sweep(config, config.sweep)
    else:
        runs = [_one(config, name) for name in config.runs]
    if not any(run.finished for run in runs):
        raise DataError(nothing_to_compare(runs, config.evaluation))
    return runs


def nothing_to_compare(runs: Sequence[Run], evaluation: str | None) -> str:
    """Why, and which evaluations there are instead."""
    known = sorted({name for run in runs for name in run.evaluations})
    instead = f"set evaluation= to one of those that there are: {', '.join(known)}"
    if evaluation is not None:
        none = f"they have no evaluation, so run `{called('evaluate')} run=...` first"
        return (
            f"none of the {len(runs)} runs has summaries of the evaluation {evaluation}, so there "
            "is nothing to compare; " + (instead if known else none)
        )
    return (
        f"none of the {len(runs)} runs is finished and has summaries of the end of training, so "
        "there is nothing to compare; their logs say what happened"
        + (f", or {instead}" if known else "")
    )


def sweep_folder(config: ReportConfig) -> Path | None:
    """The folder of the sweep that is asked for; None where this machine has none."""
    if config.sweep is None:
        return None
    places = (Path(config.folder) / config.sweep, Path(config.sweep))
    return next((place for place in places if _run_folders(place)), None)


def _run_folders(folder: Path) -> list[Path]:
    return sorted(file.parent for file in folder.glob("*/result.json"))


def _sweep(config: ReportConfig, name: str) -> list[Run]:
    folder = sweep_folder(config)
    if folder is not None:
        # A job that failed before its tracker opened has a result and nothing else.
        return [
            read_run(each, config.evaluation)
            for each in _run_folders(folder)
            if (each / "tags.json").exists()
        ]
    if not isinstance(config.tracking, MlflowTracking):
        raise DataError(
            f"there is no sweep {name} in {Path(config.folder).absolute()}; set folder=FOLDER to "
            "the place where sweeps are, or tracking=mlflow to look in the store"
        )
    return _from_store(config, "sweep", name)


def _from_store(config: ReportConfig, what: str, name: str) -> list[Run]:
    store = _store(config)
    found = store.experiment(name) if what == "experiment" else store.sweep(name)
    if not found:
        raise DataError(
            f"the {what} {name!r} has no training runs: there is no such folder in "
            f"{Path(config.folder).absolute()}, and none in the MLflow store; set folder=FOLDER, "
            "tracking.folder=FOLDER or tracking.store=URI to where they are"
        )
    return _read_stored(config, store, found)


def _one(config: ReportConfig, name: str) -> Run:
    if Path(name).is_dir() or not isinstance(config.tracking, MlflowTracking):
        return read_run(Path(name), config.evaluation)
    store = _store(config)
    return _read_stored(config, store, [store.run(name)])[0]


def _store(config: ReportConfig) -> "RunStore":
    from tersely.tracking.stored_runs import RunStore

    assert isinstance(config.tracking, MlflowTracking)
    return RunStore(config.tracking)


def _read_stored(
    config: ReportConfig, store: "RunStore", found: Sequence["StoredRun"]
) -> list[Run]:
    runs = []
    with TemporaryDirectory(prefix="tersely-report-") as place:
        for run in found:
            folder = _own_folder(run) or store.fetch(run, Path(place) / run.run_id)
            # The store knows better how a run ended: it may have been marked there.
            runs.append(replace(read_run(folder, config.evaluation), tags=run.tags))
    return runs


def _own_folder(run: "StoredRun") -> Path | None:
    """Where the run says it left its files, unless a later run has them by now."""
    folder = Path(run.tags.get("folder", "")).absolute()
    try:
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    same = isinstance(result, dict) and result.get("run_id") == run.run_id
    return folder if same and (folder / "tags.json").exists() else None
