"""The run in the store that attempts at one run share, and those whose process is gone.

A process that works on a run's folder holds the lock of `run.lock` there. So a run that says
RUNNING and whose lock is free was killed before it could say anything else.
"""

import logging
import platform
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tersely.errors import TrackingError
from tersely.file_lock import if_free
from tersely.tracking.outbox import brief
from tersely.whole_file import read_kept, write_json

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

log = logging.getLogger(__name__)

LOCK = "run.lock"
"""In a run's folder, held by whoever works on it."""
RUN_ID = "mlflow.json"
"""In a run's folder: which run of the store it is."""
MACHINE = "machine"
"""The tag that says where a run's folder is."""
GONE = "RESOURCE_DOES_NOT_EXIST"


def of_this_place(folder: Path) -> dict[str, str]:
    """Tags by which a run is known to belong to a folder of this machine."""
    return {"folder": str(folder.resolve()), MACHINE: platform.node()}


def keep_run_id(folder: Path, run_id: str) -> None:
    """On the disk before anything is trained, so that it outlives whatever ends the process."""
    write_json(folder / RUN_ID, {"run_id": run_id}, synced=True)


def kept_run_id(folder: Path) -> str | None:
    """None where there is none, or none that can be read, which the log says."""
    run_id = read_kept(folder / RUN_ID).get("run_id")
    return run_id if isinstance(run_id, str) and re.fullmatch(r"[\w-]{1,64}", run_id) else None


def find_kept_run(client: "MlflowClient", folder: Path) -> "Run | None":
    """The run of the store that `folder` names; None where there is none, or it is gone.

    Raises TrackingError where the store does not answer.
    """
    from mlflow.exceptions import MlflowException

    run_id = kept_run_id(folder)
    if run_id is None:
        return None
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != GONE:
            raise TrackingError(f"the MLflow store does not answer: {brief(error)}") from error
        run = None
    if run is None or run.info.lifecycle_stage == "deleted":
        log.warning(
            "the run %s of %s is not in this MLflow store any more; a new one takes all that the "
            "folder has",
            run_id,
            folder,
        )
        return None
    return run


def begin_again(client: "MlflowClient", run: "Run") -> None:
    """Say RUNNING of a run that goes on, and no more why it ended before.

    Raises TrackingError where the store does not take it.
    """
    from mlflow.exceptions import MlflowException

    try:
        client.update_run(run.info.run_id, status="RUNNING")
        if "error" in run.data.tags:
            client.delete_tag(run.info.run_id, "error")
    except MlflowException as error:
        raise TrackingError(
            f"the MLflow store does not take the run up again: {brief(error)}"
        ) from error


def end_stale(client: "MlflowClient", sweep: str) -> None:
    """Mark every run of a sweep KILLED that says RUNNING though nobody works on it.

    Raises TrackingError where the store cannot be read or written.
    """
    with _asking():
        for run in running(client, {"sweep": sweep}):
            with nobody_works_on(run) as stale:
                if stale and client.get_run(run.info.run_id).info.status == "RUNNING":
                    _end(client, run)


def end_others(client: "MlflowClient", tags: Mapping[str, str], run_id: str) -> None:
    """Mark every other run than `run_id` KILLED that says RUNNING in the folder that `tags`
    name: an attempt that was killed before it had kept its run's id. Whoever calls works there.

    Raises TrackingError where the store cannot be read or written.
    """
    place = {key: tags[key] for key in ("folder", MACHINE) if key in tags}
    if len(place) < 2:
        return
    with _asking():
        for run in running(client, place):
            if run.info.run_id != run_id:
                _end(client, run)


def _end(client: "MlflowClient", run: "Run") -> None:
    client.set_terminated(run.info.run_id, "KILLED")
    folder = run.data.tags.get("folder")
    log.info("marked KILLED, nobody works on it: %s in %s", run.info.run_name, folder)


@contextmanager
def _asking() -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise TrackingError(
            f"the MLflow store cannot be asked for runs that were killed: {brief(error)}"
        ) from error


def running(client: "MlflowClient", tags: Mapping[str, str]) -> list["Run"]:
    """The runs that say RUNNING and have these tags."""
    every = [each.experiment_id for each in client.search_experiments()]
    found: list[Run] = []
    token = None
    while True:
        page = client.search_runs(every, "attributes.status = 'RUNNING'", page_token=token)
        found += page
        token = page.token
        if not token:
            return [run for run in found if tags.items() <= run.data.tags.items()]


@contextmanager
def nobody_works_on(run: "Run") -> Iterator[bool]:
    """Whether a run's folder is of this machine and nobody works there; nobody begins to during
    the block."""
    tags = run.data.tags
    folder = Path(tags.get("folder", ""))
    of_here = tags.get(MACHINE) == platform.node() or kept_run_id(folder) == run.info.run_id
    if not tags.get("folder") or not of_here:
        yield False
    elif not folder.is_dir():
        yield True
    else:
        with if_free(folder / LOCK) as free:
            yield free
