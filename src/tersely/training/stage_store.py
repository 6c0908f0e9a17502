"""Stages that several runs share, trained once.

A stage is known by a hash of all that it depends on. The first run that needs it trains it
under a lock; runs beside it wait, and find it done. The lock is the operating system's: it goes
with the process that holds it, so a run that dies leaves the stage to the next one, and the
checkpoint appears whole or not at all.
"""

import fcntl
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import IO

from tersely.errors import TrackingError

log = logging.getLogger(__name__)

CODE = {
    "data",
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

WAITING_SAID_EVERY = 30.0
"""Seconds between two lines that say what a run is waiting for."""


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
    with lock, _held(lock, key):
        if folder.is_dir():
            return folder, False
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


@contextmanager
def _held(lock: IO[str], key: str) -> Iterator[None]:
    began = said = time.monotonic()
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if said == began or time.monotonic() - said > WAITING_SAID_EVERY:
                waited = time.monotonic() - began
                log.info("waiting for the run that trains shared stage %s (%.0f s)", key, waited)
                said = time.monotonic()
            time.sleep(0.2)
    try:
        yield
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)
