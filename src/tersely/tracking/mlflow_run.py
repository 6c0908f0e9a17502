"""A run in an MLflow store; the same run is in its folder, as plain files."""

import functools
import json
import logging
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tersely.errors import TrackingError
from tersely.tracking.attempts import begin_again, end_others, find_kept_run, keep_run_id
from tersely.tracking.config import MlflowTracking
from tersely.tracking.ending import one_line, status_of
from tersely.tracking.folder_run import METRICS, FolderRun
from tersely.tracking.outbox import Outbox, Point, brief
from tersely.tracking.store import Store, prepare_store, run_url, ui_address
from tersely.tracking.tracker import Parameter

if TYPE_CHECKING:
    from mlflow.entities import Run

log = logging.getLogger(__name__)

TABLES = "mlflow.loggedArtifacts"
"""The tag in which MLflow's pages look for tables."""


class MlflowRun:
    """The tracker of `tracking=mlflow`. Runs are flat; a sweep is a tag of its runs.

    No run is ever MLflow's global "active run": every call names the run it means.
    """

    def __init__(self, config: MlflowTracking, files: FolderRun) -> None:
        self._config = config
        self._files = files
        self._tables: list[str] = []
        self._known_params: set[str] = set()
        self._id = ""
        self._store: Store
        self._outbox: Outbox

    @property
    def run_id(self) -> str | None:
        return self._id or None

    @property
    def url(self) -> str | None:
        if not self._id:
            return None
        return run_url(ui_address(self._config), self._store.experiment_id, self._id)

    def __enter__(self) -> Self:
        """Raises TrackingError where the store or the run's folder cannot be written."""
        self._store = prepare_store(self._config)
        self._files.__enter__()
        try:
            self._id = self._take_up() or self._create_run()
        except BaseException as error:
            self._files.__exit__(type(error), error, None)
            raise
        self._outbox = Outbox(self._send, kept=self._files.kept_points)
        if self._files.goes_on:
            self._send_what_is_kept()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        unwritten = None
        try:
            self._files.__exit__(kind, error, trace)
        except TrackingError as failure:  # the store may still be told
            error = unwritten = failure
        if error is not None:
            self._set_tags({"error": one_line(error)})
        end = functools.partial(self._store.client.set_terminated, self._id, status_of(error))
        self._outbox.add("the run's end", end)
        self._send_the_rest(error)
        if unwritten is not None:
            raise unwritten

    def _send_the_rest(self, error: BaseException | None) -> None:
        """Raises TrackingError for what the store did not take, unless `error` is on its way."""
        lost = self._outbox.close()
        if lost is None:
            return
        message = (
            f"the MLflow store did not take {lost}. Nothing is lost: the metrics are in "
            f"{self._files.folder / METRICS}; free the store, or set tracking=none"
        )
        if error is None:
            raise TrackingError(message)
        error.add_note(message)
        log.error(message)

    def params(self, values: Mapping[str, Parameter]) -> None:
        self._files.params(values)
        self._send_params(values)

    def _send_params(self, values: Mapping[str, Parameter]) -> None:
        from mlflow.entities import Param

        # MLflow takes a parameter once.
        new = {key: value for key, value in values.items() if key not in self._known_params}
        params = [Param(key, as_text(value)) for key, value in new.items()]
        write = functools.partial(self._store.client.log_batch, self._id, params=params)
        self._outbox.add("parameters", write)

    def tags(self, values: Mapping[str, str]) -> None:
        self._files.tags(values)
        self._set_tags(values)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        self._outbox.add_points(self._files.points(values, step))

    def artifact(self, path: Path, folder: str = "") -> None:
        """Copied when the call returns, so that the file may go; later if the store is busy."""
        from mlflow.exceptions import MlflowException

        client, name = self._store.client, f"the artifact {path.name}"
        write: Callable[[], object]
        if path.is_dir():
            target = f"{folder}/{path.name}".lstrip("/")
            write = functools.partial(client.log_artifacts, self._id, str(path), target)
        else:
            path.stat()
            write = functools.partial(client.log_artifact, self._id, str(path), folder or None)
        try:
            write()
        except (MlflowException, OSError) as error:
            log.warning("%s waits for the MLflow store (%s)", name, brief(error))
            self._outbox.add(name, write)

    def table(self, name: str, rows: Sequence[Mapping[str, object]]) -> None:
        self._files.table(name, rows)
        self._send_table(name, rows)

    def _send_table(self, name: str, rows: Sequence[Mapping[str, object]]) -> None:
        file = f"tables/{name}.json"
        write = functools.partial(self._store.client.log_text, self._id, split_table(rows), file)
        self._outbox.add(f"the table {name}", write)
        self._tables = [*(other for other in self._tables if other != file), file]
        marks = [{"path": file, "type": "table"} for file in self._tables]
        self._set_tags({TABLES: json.dumps(marks)})

    def _take_up(self) -> str | None:
        """The run of an earlier attempt, running again; None where there is none."""
        if not self._files.goes_on:
            return None
        client = self._store.client
        run = find_kept_run(client, self._files.folder)
        if run is None:
            return None
        begin_again(client, run)
        # It may have been moved, or the experiment given anew.
        self._store = Store(client, str(run.info.experiment_id))
        self._know(run)
        return str(run.info.run_id)

    def _know(self, run: "Run") -> None:
        """Parameters and tables that the store has."""
        self._known_params = set(run.data.params)
        self._tables = tables_of(run)

    def _send_what_is_kept(self) -> None:
        """All that is in the folder: the store may be another one, or not have got the last of
        it. What it has already it keeps once."""
        self._outbox.add_points(self._files.kept_points())
        self._send_params(self._files.given_params)
        self._set_tags(self._files.given_tags)
        for name, rows in self._files.kept_tables():
            self._send_table(name, rows)

    def _create_run(self) -> str:
        from mlflow.exceptions import MlflowException

        files, store = self._files, self._store
        source = {"mlflow.source.name": Path(sys.argv[0]).name, "mlflow.source.type": "LOCAL"}
        try:
            run = store.client.create_run(
                store.experiment_id, run_name=files.name, tags={**source, **files.given_tags}
            )
        except MlflowException as error:
            raise TrackingError(f"the MLflow store takes no new run: {brief(error)}") from error
        run_id = str(run.info.run_id)
        try:
            keep_run_id(files.folder, run_id)
        except OSError as error:
            raise TrackingError(
                f"the run's folder {files.folder} cannot be written ({error.strerror}); make "
                "room, or set hydra.run.dir=FOLDER to another place"
            ) from error
        end_others(store.client, files.given_tags, run_id)
        return run_id

    def _set_tags(self, values: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        tags = [RunTag(key, value) for key, value in values.items()]
        write = functools.partial(self._store.client.log_batch, self._id, tags=tags)
        self._outbox.add("tags", write)

    def _send(self, points: Sequence[Point]) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(p.key, p.value, p.milliseconds, p.step) for p in points]
        self._store.client.log_batch(self._id, metrics=metrics)


def tables_of(run: "Run") -> list[str]:
    """The tables that a run in the store has; none where its tag is broken."""
    try:
        return [mark["path"] for mark in json.loads(run.data.tags.get(TABLES, "[]"))]
    except (ValueError, KeyError, TypeError):
        return []


def as_text(value: Parameter) -> str:
    """The value as a command line would say it: true and false are lower case."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def split_table(rows: Sequence[Mapping[str, object]]) -> str:
    """The JSON that MLflow's `log_table` writes: columns, and a list of values a row.

    Written here because `log_table` adds to a table that is there, so that a write repeated
    after a failure would double it. A missing value and NaN become null.
    """
    columns = list(dict.fromkeys(key for row in rows for key in row))
    data = [[none_for_nan(row.get(column)) for column in columns] for row in rows]
    return json.dumps({"columns": columns, "data": data}, ensure_ascii=False)


def none_for_nan(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value
