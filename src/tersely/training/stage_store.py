"""Stages that several runs share, trained once.

A stage is known by a hash of all that it depends on. The first run that needs it trains it
under a lock; runs beside it wait, and find it done. The lock is the operating system's: it goes
with the process that holds it, so a run that dies leaves the stage to the next one, and the
checkpoint appears whole or not at all.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

from tersely.errors import TrackingError
from tersely.file_lock import wait_for
from tersely.training.manifest import damage

log = logging.getLogger(__name__)

CODE = {
    "data",
    "evaluation",
    "objective",
    "policy",
    "prepared.py",
    "records.py",
    "rewards",
    "rollout",
    "run.py",
    "seeds.py",
    "stage_training.py",
    "training",
}
"""The folders and modules of the package whose code a stage's weights depend on."""


def stage_key(depends_on: Mapping[str, object]) -> str:
    """16 hex digits that identify a stage by all that it depends on, code included."""
    package = Path(__file__).parents[1]
    digest = hashlib.blake2b(digest_size=8)
    digest.update(json.dumps(depends_on, sort_keys=True, default=str).encode())
    for distribution in ("mlx", "mlx-lm"):
        digest.update(f"{distribution}=={version(distribution)}".encode())
    for source in sorted(package.rglob("*.py")):
        name = source.relative_to(package)
        if name.parts[0] in CODE:
            digest.update(name.as_posix().encode())
            digest.update(source.read_bytes())
    return digest.hexdigest()


def shared_stage(store: Path, key: str, train_into: Callable[[Path], None]) -> tuple[Path, bool]:
    """The checkpoint folder of stage `key`, and whether this call trained it.

    `train_into(folder)` must make `folder`, whose parent is not there yet; it runs in at most
    one process at a time, and only where the checkpoint is missing. What it raises passes
    through and leaves the stage to the next run that wants it. Raises `TrackingError` if
    `store` cannot be written.
    """
    folder, beginning = store / key, store / f"{key}.training"
    try:
        store.mkdir(parents=True, exist_ok=True)
        lock = (store / f"{key}.lock").open("w")
    except OSError as error:
        raise TrackingError(
            f"shared stages cannot be kept in {store} ({error.strerror}); set tracking.folder to "
            "a folder that can be written"
        ) from error
    with lock:
        wait_for(lock, f"the run that trains shared stage {key}")
        if folder.is_dir() and (wrong := damage(folder)) is None:
            return folder, False
        if folder.is_dir():
            log.warning("the shared stage %s is damaged and trained again: %s", folder, wrong)
            _clear(folder)
        _clear(beginning)  # what a run that was killed here has left
        try:
            train_into(beginning / "checkpoint")
            os.replace(beginning / "checkpoint", folder)
        finally:
            _clear(beginning)
    return folder, True


def _clear(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
