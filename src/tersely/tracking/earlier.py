"""A run that has ended, found again by its folder or its id, so that more can be said of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tersely.errors import ModelError, TrackingError
from tersely.tracking.config import MlflowTracking
from tersely.tracking.outbox import brief

CONFIG = "config.yaml"
FINAL = Path("checkpoints") / "final"


@dataclass(frozen=True)
class EarlierRun:
    """What is known of a run that has ended."""

    name: str
    """As one says it in a message: its folder or its id."""
    run_id: str | None
    """In the MLflow store; None where the run was kept in its folder alone."""
    folder: Path | None
    """Its folder, where that is on this machine."""
    config: str
    """Its configuration, resolved, as YAML."""
    choices: Mapping[str, str]
    """Config group to the choice that was made; other short values stand among them."""
    checkpoint: Path | None
    """Where its weights are on this machine."""
    status: str
    """How it ended, or RUNNING."""
    data_fingerprint: str | None
    """Of its data when it began."""

    def weights(self) -> Path:
        """The run's checkpoint. Raises ModelError where it left none, or it is not here."""
        if self.checkpoint is None:
            raise ModelError(
                f"the run {self.name} ({self.status}) has no checkpoint on this machine; wait "
                "until it has finished, or copy its checkpoints/final here and give "
                "checkpoint=FOLDER"
            )
        return self.checkpoint


def find_in_folder(folder: Path) -> EarlierRun:
    """The run that left `folder`. Raises TrackingError where that is no run's folder."""
    if not (folder / CONFIG).is_file() or not (folder / "params.json").is_file():
        raise TrackingError(
            f"run={folder} is not the folder of a run: it lacks {CONFIG} or params.json; give "
            "the folder that a run named at its end, or the id that MLflow shows"
        )
    tags, result = read_json(folder / "tags.json"), read_json(folder / "result.json")
    return EarlierRun(
        name=str(folder),
        run_id=result.get("run_id"),
        folder=folder,
        config=(folder / CONFIG).read_text(encoding="utf-8"),
        choices={key: str(value) for key, value in read_json(folder / "params.json").items()},
        checkpoint=first_checkpoint(folder / FINAL, tags.get("checkpoint")),
        status=str(tags.get("status", "unfinished")),
        data_fingerprint=tags.get("data_fingerprint"),
    )


def find_in_store(config: MlflowTracking, run_id: str) -> EarlierRun:
    """The run with this id. Raises TrackingError where the store has none, or cannot be read.

    A run whose folder is not here any more, or was on another machine, is read from the store's
    copies of its configuration and its checkpoint.
    """
    from mlflow.exceptions import MlflowException

    from tersely.tracking.store import prepare_store, store_uri

    client = prepare_store(config).client
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        raise TrackingError(
            f"run={run_id} is neither a run's folder nor a run in the store {store_uri(config)} "
            f"({brief(error)}); see tracking.folder and tracking.store"
        ) from error
    tags = run.data.tags
    folder = Path(tags["folder"]) if (Path(tags.get("folder", "")) / CONFIG).is_file() else None
    try:
        text = Path(client.download_artifacts(run_id, CONFIG)).read_text(encoding="utf-8")
    except (MlflowException, OSError) as error:
        raise TrackingError(
            f"the run {run_id} has no {CONFIG} in the store ({brief(error)}), so nobody knows "
            "its data; give checkpoint=FOLDER and the groups of its evaluation"
        ) from error
    return EarlierRun(
        name=run_id,
        run_id=run_id,
        folder=folder,
        config=text,
        choices=run.data.params,
        checkpoint=first_checkpoint(tags.get("checkpoint")) or copied_checkpoint(client, run_id),
        status=run.info.status,
        data_fingerprint=tags.get("data_fingerprint"),
    )


def copied_checkpoint(client: Any, run_id: str) -> Path | None:
    """The store's copy of the weights; None of a run that left none or too large ones."""
    from mlflow.exceptions import MlflowException

    try:
        return first_checkpoint(client.download_artifacts(run_id, FINAL.as_posix()))
    except (MlflowException, OSError):
        return None


def first_checkpoint(*places: str | Path | None) -> Path | None:
    """The first of `places` that holds a checkpoint."""
    folders = [Path(place) for place in places if place is not None]
    return next((folder for folder in folders if (folder / "config.json").is_file()), None)


def read_json(file: Path) -> dict[str, Any]:
    """Empty where there is no such file. Raises TrackingError where it is broken."""
    if not file.is_file():
        return {}
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError(f"{type(values).__name__} for an object")
    except (OSError, ValueError) as error:
        raise TrackingError(
            f"{file} cannot be read ({error}), so nobody knows what that run was; mend it, or "
            "give checkpoint=FOLDER and the groups of its evaluation"
        ) from error
    return values
