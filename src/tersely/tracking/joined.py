"""More of a run that has ended: its tags, params and status stay as they are, whatever happens."""

from pathlib import Path
from types import TracebackType
from typing import Self

from tersely.errors import TrackingError
from tersely.tracking.config import MlflowTracking
from tersely.tracking.earlier import read_json
from tersely.tracking.folder_run import TAGS, FolderRun, write_json
from tersely.tracking.mlflow_run import MlflowRun
from tersely.tracking.outbox import Outbox, brief
from tersely.tracking.store import Store, prepare_store, store_uri


class JoinedFolder(FolderRun):
    """Adds metrics, tables, tags and artifacts to the folder of a run."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "", {}, goes_on=True)
        self._ended_with = read_json(folder / TAGS)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._metrics is not None:
            self._metrics.close()

    def _take_up(self) -> None:
        self._take_up_metrics()

    def _write_tags(self, status: str) -> None:
        if self._ended_with or self.given_tags:
            write_json(self.folder / TAGS, {**self._ended_with, **self.given_tags})


class JoinedMlflow(MlflowRun):
    """Adds the same to a run in the store and to its folder."""

    def __init__(self, config: MlflowTracking, files: FolderRun, run_id: str) -> None:
        super().__init__(config, files)
        self._id = run_id

    def __enter__(self) -> Self:
        """Raises TrackingError where the store does not have the run."""
        from mlflow.exceptions import MlflowException

        client = prepare_store(self._config).client
        try:
            run = client.get_run(self._id)
        except MlflowException as error:
            raise TrackingError(
                f"the run {self._id} is not in the store {store_uri(self._config)} "
                f"({brief(error)}); set tracking.folder or tracking.store to its own, or "
                "tracking=none to add to its folder alone"
            ) from error
        self._store = Store(client, str(run.info.experiment_id))
        self._know(run)
        self._files.__enter__()
        self._outbox = Outbox(self._send, kept=self._files.kept_points)
        return self

    def artifact(self, path: Path, folder: str = "") -> None:
        """Also into the run's folder, which is not where an evaluation writes its files."""
        self._files.artifact(path, folder)
        super().artifact(path, folder)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._files.__exit__(kind, error, trace)
        self._send_the_rest(error)
