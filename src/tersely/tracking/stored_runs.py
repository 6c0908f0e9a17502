"""Runs in the MLflow store, read back into the files that a run leaves in its folder."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tersely.errors import DataError
from tersely.tracking.config import MlflowTracking
from tersely.tracking.folder_run import METRICS, write_json
from tersely.tracking.outbox import brief
from tersely.tracking.store import load_mlflow, prepare_store, store_uri

if TYPE_CHECKING:
    from mlflow.entities import Run

PAGE = 1000
"""Runs that the store is asked for at once."""
NOT_TRAINED = {"report", "evaluation"}
"""Kinds of runs that no training made."""


@dataclass(frozen=True)
class StoredRun:
    """A run in the store."""

    run_id: str
    tags: Mapping[str, str]
    """Those that the run gave itself, with `name` and `status` as in its folder."""
    params: Mapping[str, str]
    metrics: tuple[str, ...]
    """Names."""

    @property
    def trained(self) -> bool:
        return self.tags.get("kind") not in NOT_TRAINED


class RunStore:
    """The store, for reading."""

    def __init__(self, config: MlflowTracking) -> None:
        """Raises TrackingError where the store cannot be opened."""
        load_mlflow()
        prepare_store(config)
        self._uri = store_uri(config)
        from mlflow.tracking import MlflowClient

        self._client: MlflowClient = MlflowClient(tracking_uri=self._uri)

    def experiment(self, name: str) -> list[StoredRun]:
        """The training runs of an experiment, oldest first. Raises DataError without one."""
        found = self._client.get_experiment_by_name(name)
        if found is None:
            known = sorted(each.name for each in self._client.search_experiments())
            raise DataError(
                f"the MLflow store {self._uri} has no experiment {name!r}; it has "
                f"{', '.join(known)}"
            )
        return list(self._search([found.experiment_id], ""))

    def sweep(self, name: str) -> list[StoredRun]:
        """The training runs with the tag `sweep`, of whichever experiment, oldest first."""
        every = [each.experiment_id for each in self._client.search_experiments()]
        # A name may have what ends a text, or the filter; `_` stands for any one character.
        like = re.sub(r"[^\w .=,-]", "_", name)
        found = self._search(every, f"tags.sweep LIKE '{like}'")
        return [run for run in found if run.tags.get("sweep") == name]

    def run(self, run_id: str) -> StoredRun:
        """One run by its id. Raises DataError where the store does not know it."""
        from mlflow.exceptions import MlflowException

        try:
            return _stored(self._client.get_run(run_id))
        except MlflowException as error:
            raise DataError(
                f"{run_id!r} is neither a run's folder nor a run in the MLflow store {self._uri} "
                f"({brief(error)})"
            ) from error

    def fetch(self, run: StoredRun, into: Path) -> Path:
        """Write what the store has of a run to `into` as the run itself would; returns `into`.

        Raises DataError for a table that is none, or whose name would lead out of `into`.
        """
        if not re.fullmatch(r"\w+", run.run_id):  # it names folders
            raise DataError(f"{run.run_id!r}, of the MLflow store {self._uri}, is no id of a run")
        into.mkdir(parents=True, exist_ok=True)
        write_json(into / "tags.json", run.tags)
        write_json(into / "params.json", run.params)
        write_json(into / "result.json", {"run_id": run.run_id})
        lines = self._metric_lines(run)
        (into / METRICS).write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
        for path in self._tables(run.run_id, "tables"):
            self._fetch_table(run.run_id, path, into)
        return into

    def _tables(self, run_id: str, folder: str) -> Iterator[str]:
        for artifact in self._client.list_artifacts(run_id, folder):
            if artifact.is_dir:
                yield from self._tables(run_id, artifact.path)
            elif artifact.path.endswith(".json"):
                yield artifact.path

    def _search(self, experiments: list[str], filter_text: str) -> Iterator[StoredRun]:
        token = None
        while True:
            found = self._client.search_runs(
                experiments, filter_text, max_results=PAGE, order_by=["start_time ASC"],
                page_token=token,
            )  # fmt: skip
            yield from (run for each in found if (run := _stored(each)).trained)
            token = found.token
            if not token:
                return

    def _metric_lines(self, run: StoredRun) -> list[dict[str, Any]]:
        lines: dict[int, dict[str, Any]] = defaultdict(dict)
        for key in run.metrics:
            for point in self._client.get_metric_history(run.run_id, key):
                line = lines[point.step]
                line |= {"step": point.step, "milliseconds": point.timestamp, key: point.value}
        return [lines[step] for step in sorted(lines)]

    def _fetch_table(self, run_id: str, path: str, into: Path) -> None:
        target = (into / path).with_suffix(".jsonl")
        if not target.resolve().is_relative_to(into.resolve()):
            raise DataError(
                f"the MLflow store {self._uri} has a table {path!r} of the run {run_id}, whose "
                "name leads out of the run; see who can write to that store"
            )
        file = Path(self._client.download_artifacts(run_id, path, str(into)))
        try:
            table = json.loads(file.read_text(encoding="utf-8"))
            rows = [dict(zip(table["columns"], values, strict=True)) for values in table["data"]]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"the table {path} of the run {run_id} in the MLflow store {self._uri} cannot be "
                f"read back ({type(error).__name__}: {error}); a report without it would compare "
                "something else, so leave the run out with runs=[...]"
            ) from error
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("".join(lines), encoding="utf-8")
        file.unlink()


def _stored(run: "Run") -> StoredRun:
    own = {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")}
    return StoredRun(
        run.info.run_id,
        {**own, "name": run.info.run_name, "status": run.info.status},
        dict(run.data.params),
        tuple(run.data.metrics),
    )
