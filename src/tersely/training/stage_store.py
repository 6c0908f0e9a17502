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
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import IO

log = logging.getLogger(__name__)

CODE = ("data", "objective", "policy", "rewards", "rollout", "training")
"""The folders of the package whose code a stage's weights depend on."""

WAITING_SAID_EVERY = 30.0
"""Seconds between two lines that say what a run is waiting for."""


def stage_key(depends_on: Mapping[str, object]) -> str:
    """16 hex digits that identify a stage by all that it depends on, code included."""
    package = Path(__file__).parents[1]
    digest = hashlib.blake2b(digest_size=8)
    digest.update(json.dumps(depends_on, sort_keys=True, default=str).encode())
    for name in ("mlx", "mlx-lm"):
        digest.update(f"{name}=={version(name)}".encode())
    for folder in CODE:
        for source in sorted((package / folder).rglob("*.py")):
            digest.update(source.relative_to(package).as_posix().encode())
            digest.update(source.read_bytes())
    return digest.hexdigest()


def shared_stage(store: Path, key: str, train_into: Callable[[Path], None]) -> tuple[Path, bool]:
    """The checkpoint folder of stage `key`, and whether this call trained it.

    `train_into(folder)` must write `folder` whole or not at all; it runs in at most one process
    at a time, and only where the checkpoint is not there yet. What it raises passes through and
    leaves the stage to the next run that wants it.
    """
    folder = store / key
    store.mkdir(parents=True, exist_ok=True)
    with (store / f"{key}.lock").open("w") as lock, _held(lock, key):
        if folder.is_dir():
            return folder, False
        train_into(folder)
    return folder, True


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
