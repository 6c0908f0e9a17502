"""Temporary folders that say who made them, so that what a killed process left can be removed.

Both trainers and workers have some, and this file is on both sides. A folder is called PREFIX,
then the process, the machine, because a disk may be shared, and something random.
"""

import logging
import os
import re
import secrets
import shutil
import socket
from pathlib import Path

log = logging.getLogger(__name__)


def make(place: Path, prefix: str, *, mode: int = 0o700) -> Path:
    """A new folder of this process in `place`, which others cannot read unless `mode` says so;
    what killed processes left there under `prefix` is removed. Raises `OSError`."""
    sweep(place, prefix)
    name = f"{prefix}{os.getpid()}-{socket.gethostname()}-{secrets.token_hex(4)}"
    folder = place / name
    folder.mkdir(mode)
    return folder


def sweep(place: Path, prefix: str) -> None:
    """Remove the folders in `place` whose owner ran on this machine and does so no more."""
    owned = re.compile(
        re.escape(prefix) + r"(\d+)-" + re.escape(socket.gethostname()) + r"-[0-9a-f]+"
    )
    for folder in place.glob(f"{prefix}*"):
        match = owned.fullmatch(folder.name)
        if match and not _runs(int(match[1])):
            log.info("removing %s, which a killed process left", folder)
            shutil.rmtree(folder, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # somebody else's; no process at all
        return True
    return True
