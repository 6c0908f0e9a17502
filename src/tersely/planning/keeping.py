"""Whether what runs leave can be kept, found out without making anything."""

import os
from pathlib import Path

from tersely.errors import TerselyError, TrackingError
from tersely.tracking.config import MlflowTracking, TrackingConfig
from tersely.tracking.outbox import brief
from tersely.tracking.store import SQLITE, WAY_OUT, check_database, load_mlflow, store_uri


def problem_of_keeping(config: TrackingConfig, shares: bool) -> str:
    """Why runs cannot be kept from here; empty where nothing is known against it. `shares`:
    whether they share a stage, which goes to `tracking.folder` without a store too."""
    try:
        if shares or isinstance(config, MlflowTracking):
            _check_folder(Path(config.folder).absolute(), f"tracking.folder={config.folder}")
        if isinstance(config, MlflowTracking):
            _check_store(config)
    except TerselyError as error:
        return str(error)
    return ""


def _check_store(config: MlflowTracking) -> None:
    uri = store_uri(config)
    if not uri.startswith(SQLITE):
        _check_server(uri, config.experiment)
        return
    file = Path(uri.removeprefix(SQLITE))
    _check_folder(file.parent, f"the MLflow store {file}")
    if os.path.lexists(file):
        check_database(file)


def _check_folder(folder: Path, what: str) -> None:
    """Raises TrackingError unless `folder`, of `what`, takes files or, where it is missing, can be
    made."""
    there = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
    if not there.is_dir():
        reason = f"{there} is no folder"
    elif not os.access(there, os.W_OK | os.X_OK):
        reason = f"{there} takes no files"
    else:
        return
    raise TrackingError(f"{what} cannot be written ({reason}); runs are kept there; {WAY_OUT}")


def _check_server(uri: str, experiment: str) -> None:
    """Raises TrackingError unless the server answers and its experiment takes runs."""
    load_mlflow()
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    try:
        found = MlflowClient(tracking_uri=uri).get_experiment_by_name(experiment)
    except (MlflowException, OSError) as error:
        raise TrackingError(
            f"the MLflow store {uri} cannot be opened: {brief(error)}. Runs would not be kept; "
            "set tracking.store to one that can, or tracking=none"
        ) from error
    if found is not None and found.lifecycle_stage == "deleted":
        raise TrackingError(
            f"the MLflow experiment {experiment!r} was deleted in the UI and takes no runs; set "
            "tracking.experiment=NAME to another one"
        )
