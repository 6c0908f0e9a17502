"""The MLflow store: made once, before any run starts, and checked for writing.

A store that is created by two processes at a time breaks (MLflow 3.17 runs its migrations
twice), so a lock file lets one of them do it while the others wait.
"""

import importlib
import json
import logging
import os
import re
import shlex
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from tersely.errors import TrackingError
from tersely.file_lock import wait_for
from tersely.tracking.config import MlflowTracking
from tersely.tracking.outbox import brief

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

UI_ADDRESS = "http://127.0.0.1:5000"
"""Where `mlflow ui` listens unless it is told otherwise."""

TRAINING_MODE = "workflowType=machine_learning"

SQLITE = "sqlite:///"
LOCK_SECONDS = 20.0
"""How long another process may hold the database, as MLflow itself waits."""

IN_A_URI = re.compile(r"[?#]|%[0-9A-Fa-f]{2}")
"""What ends a path in a URI, or stands for another character."""

WAY_OUT = "set tracking.folder=FOLDER to a place that can be written, or tracking=none"


@dataclass(frozen=True)
class Store:
    """An open store and the experiment that new runs go to."""

    client: "MlflowClient"
    experiment_id: str


def prepare_store(config: MlflowTracking) -> Store:
    """Make the database and the experiment if they are missing, and open them.

    Safe when several processes call it at once. Raises TrackingError where the folder or the
    database cannot be written, before anything was trained.
    """
    uri = store_uri(config)
    folder = Path(config.folder).absolute()
    check_writable(folder)
    if uri.startswith(SQLITE):
        check_database(Path(uri.removeprefix(SQLITE)))
    load_mlflow()
    with (folder / "store.lock").open("a", encoding="utf-8") as lock:
        wait_for(lock, "the process that makes the MLflow store")
        return open_store(uri, config.experiment, folder / "artifacts")


def store_uri(config: MlflowTracking) -> str:
    """The tracking URI, with an absolute path where it is a SQLite file.

    Raises TrackingError for a path that would be another one in a URI, and ConfigError for an
    address with a secret in it.
    """
    if config.store is None:
        file = Path(config.folder).absolute() / "mlflow.db"
    elif config.store.startswith(SQLITE):
        file = Path(config.store.removeprefix(SQLITE)).absolute()
    else:
        return config.store
    if unclear := IN_A_URI.search(str(file)):
        raise TrackingError(
            f"the MLflow store {file} has {unclear[0]!r} in its path, which its address cannot "
            f"carry: another file would be written; {WAY_OUT}"
        )
    return f"{SQLITE}{file}"


def load_mlflow() -> None:
    """Import MLflow, keep it from calling home, and quieten what it says about its tables.

    `mlflow.store.db.utils` prints a traceback for each statement that fails; the failure is
    reported here, in one line, by whoever asked for the write. A server that does not answer is
    asked twice more, not seven times over four minutes: what is sent to it waits and goes again.
    Nor does one that takes a request and says nothing have two minutes each time.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    importlib.import_module("mlflow.store.tracking.sqlalchemy_store")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def open_store(uri: str, experiment: str, artifacts: Path) -> Store:
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    location = artifacts.as_uri() if uri.startswith(SQLITE) else None
    try:
        client = MlflowClient(tracking_uri=uri)
        found = client.get_experiment_by_name(experiment)
        if found is None:
            return Store(client, client.create_experiment(experiment, location))
    except (MlflowException, OSError) as error:
        raise TrackingError(
            f"the MLflow store {uri} cannot be opened: {brief(error)}. Runs would not be kept; "
            "set tracking.store to one that can, or tracking=none"
        ) from error
    if found.lifecycle_stage == "deleted":
        raise TrackingError(
            f"the MLflow experiment {experiment!r} was deleted in the UI and takes no runs; set "
            f"tracking.experiment=NAME to another one, or bring it back: MLFLOW_TRACKING_URI={uri} "
            f"mlflow experiments restore --experiment-id {found.experiment_id}"
        )
    return Store(client, str(found.experiment_id))


def check_writable(folder: Path) -> None:
    """Raises TrackingError unless files can be made in `folder`, which is made if missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise TrackingError(
            f"tracking.folder={folder} cannot be written ({error.strerror}); runs are kept "
            f"there; {WAY_OUT}"
        ) from error


def check_database(file: Path) -> None:
    """Raises TrackingError unless `file` is missing or a SQLite database that takes writes."""
    check_writable(file.parent)
    if not file.exists():
        return
    try:
        with closing(sqlite3.connect(file, timeout=LOCK_SECONDS, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("ROLLBACK")
    except sqlite3.Error as error:
        raise TrackingError(
            f"the MLflow store {file} takes no writes ({error}); runs are kept there; {WAY_OUT}"
        ) from error


def ui_address(config: MlflowTracking) -> str:
    """Where the UI is: the tracking server itself, or `mlflow ui` on this machine."""
    if config.store is not None and not config.store.startswith(SQLITE):
        return config.store.rstrip("/")
    return UI_ADDRESS


def ui_command(config: MlflowTracking) -> str | None:
    """Start the UI on a local store; None where a server runs already.

    With this very Python, whose `mlflow` need not be on the PATH. One worker and no job runner:
    0.5 GB and seconds, where the defaults take 1.8 GB. Whoever reaches the UI can change runs, and
    $MLFLOW_HOST may open it to the network, so its host is named.
    """
    uri = store_uri(config)
    if not uri.startswith(SQLITE):
        return None
    return (
        "MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false "
        f"{shlex.quote(sys.executable)} -m mlflow ui --host 127.0.0.1 --workers 1 "
        f"--backend-store-uri {shlex.quote(uri)}"
    )


def run_url(address: str, experiment_id: str, run_id: str) -> str:
    """A run's page, in the UI's mode for training; it opens in its mode for agents otherwise."""
    return f"{address}/#/experiments/{experiment_id}/runs/{run_id}?{TRAINING_MODE}"


def compare_url(address: str, experiment_id: str, run_ids: Sequence[str]) -> str:
    """The page that compares runs; it reads two JSON lists from the fragment."""
    runs, experiments = (
        quote(json.dumps(ids, separators=(",", ":")), safe="")
        for ids in (list(run_ids), [experiment_id])
    )
    return f"{address}/#/compare-runs?runs={runs}&experiments={experiments}&{TRAINING_MODE}"
