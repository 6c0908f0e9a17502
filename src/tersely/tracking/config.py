"""The choices of the group `tracking`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tersely.errors import ConfigError
from tersely.tracking.address import check_store_is_public

if TYPE_CHECKING:
    from tersely.tracking.earlier import EarlierRun
    from tersely.tracking.tracker import Tracker


@dataclass
class TrackingConfig:
    """What every choice has."""

    folder: str = "mlruns"
    """Where runs leave what outlives them: the store, its artifacts, shared stages."""

    def __post_init__(self) -> None:
        if not self.folder.strip():
            raise ConfigError(
                "tracking.folder must name a folder, got an empty text; the default is mlruns"
            )

    def prepare(self) -> None:
        """Make what runs need before they start; safe when several processes do it at once.

        Raises TrackingError where that cannot be written.
        """

    def build(
        self,
        run_folder: Path,
        name: str,
        tags: Mapping[str, str] | None = None,
        goes_on: bool = False,
    ) -> "Tracker":
        """A tracker for one run called `name`, whose files go to `run_folder`.

        With `goes_on` it is the run that an earlier attempt left there: what that has written
        is kept, and not written a second time. Otherwise the folder begins anew.
        """
        raise NotImplementedError

    def find(self, run: str) -> "EarlierRun":
        """The run that has this folder or, where there is a store, this id.

        Raises TrackingError where there is none.
        """
        from tersely.tracking.earlier import find_in_folder

        return find_in_folder(Path(run).expanduser())

    def join(self, run: "EarlierRun", folder: Path) -> "Tracker":
        """A tracker that adds to a run that has ended, and changes nothing that it says.

        `folder` is where files go if the run's own folder is not on this machine.
        """
        raise NotImplementedError

    def end_stale(self, sweep: str) -> None:
        """Mark runs of a sweep KILLED that are RUNNING though nobody works on them.

        Raises TrackingError where the store cannot be read or written.
        """

    def compare_url(self, run_ids: Sequence[str]) -> str | None:
        """Where a browser shows these runs side by side; None without a store."""
        return None

    def ui_command(self) -> str | None:
        """What to type to see the runs; None without a store."""
        return None


@dataclass
class NoTracking(TrackingConfig):
    """Files in the run's own folder and nothing else."""

    def build(
        self,
        run_folder: Path,
        name: str,
        tags: Mapping[str, str] | None = None,
        goes_on: bool = False,
    ) -> "Tracker":
        from tersely.tracking.folder_run import FolderRun

        return FolderRun(run_folder, name, tags or {}, goes_on)

    def join(self, run: "EarlierRun", folder: Path) -> "Tracker":
        from tersely.tracking.joined import JoinedFolder

        return JoinedFolder(run.folder or folder)


@dataclass
class MlflowTracking(TrackingConfig):
    """An MLflow store beside the files in the run's own folder."""

    store: str | None = None
    """MLflow tracking URI (sqlite:///FILE or http://HOST:PORT); none: mlflow.db in `folder`."""
    experiment: str = "tersely"
    """The MLflow experiment that holds the runs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.experiment.strip():
            raise ConfigError(
                "tracking.experiment must be a name, got an empty text; the default is tersely"
            )
        if self.store is not None:
            check_store_is_public(self.store)
        if self.store is not None and not self.store.startswith(("sqlite:///", "http")):
            raise ConfigError(
                "tracking.store must begin with sqlite:/// or http, and it does not; MLflow "
                "no longer writes runs as plain files, and tracking=none does without a store"
            )

    def prepare(self) -> None:
        from tersely.tracking.store import prepare_store

        prepare_store(self)

    def build(
        self,
        run_folder: Path,
        name: str,
        tags: Mapping[str, str] | None = None,
        goes_on: bool = False,
    ) -> "Tracker":
        from tersely.tracking.folder_run import FolderRun
        from tersely.tracking.mlflow_run import MlflowRun

        return MlflowRun(self, FolderRun(run_folder, name, tags or {}, goes_on))

    def find(self, run: str) -> "EarlierRun":
        from tersely.tracking.earlier import find_in_folder, find_in_store

        folder = Path(run).expanduser()
        return find_in_folder(folder) if folder.is_dir() else find_in_store(self, run)

    def join(self, run: "EarlierRun", folder: Path) -> "Tracker":
        """A run that no store has ever seen is added to in its folder alone."""
        from tersely.tracking.joined import JoinedFolder, JoinedMlflow

        files = JoinedFolder(run.folder or folder)
        return files if run.run_id is None else JoinedMlflow(self, files, run.run_id)

    def end_stale(self, sweep: str) -> None:
        from tersely.tracking.attempts import end_stale
        from tersely.tracking.store import prepare_store

        end_stale(prepare_store(self).client, sweep)

    def compare_url(self, run_ids: Sequence[str]) -> str | None:
        from tersely.tracking.store import compare_url, prepare_store, ui_address

        return compare_url(ui_address(self), prepare_store(self).experiment_id, run_ids)

    def ui_command(self) -> str | None:
        from tersely.tracking.store import ui_command

        return ui_command(self)
