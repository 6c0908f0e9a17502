"""Folder names for sweeps and their jobs."""

import hashlib
import os
import re
from datetime import datetime

SWEEP_VARIABLE = "TERSELY_SWEEP"
"""Carries the sweep's name to the processes that run its jobs."""

LONGEST_SLUG = 80
"""Characters. File systems take 255 bytes; a listing is read by a person."""

UNSAFE = re.compile(r"[^A-Za-z0-9=,._-]+")


def job_slug(overrides: list[str]) -> str:
    """A folder name for the job that these overrides make, the same in whatever order.

    Hydra's own `override_dirname` makes sub-folders of a `/` and fails on long lists. A name
    that had to be changed ends in eight hex digits of the full text, so two jobs never share it.
    """
    full = ",".join(sorted(override.lstrip("+") for override in overrides))
    return safe_name(full) if full else "default"


def sweep_name(given: str | None = None) -> str:
    """The name of this sweep: the given one, else `$TERSELY_SWEEP`, else the time it began.

    Kept in the environment, so that every process of the sweep has the same name.
    """
    name = given or os.environ.get(SWEEP_VARIABLE) or _now()
    os.environ[SWEEP_VARIABLE] = safe_name(name)
    return os.environ[SWEEP_VARIABLE]


def safe_name(text: str) -> str:
    """The text itself where it can name a folder, else a cleaned and shortened form of it."""
    cleaned = UNSAFE.sub("-", text)
    if cleaned == text and len(text) <= LONGEST_SLUG and text.strip("."):
        return text
    digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:8]
    return f"{cleaned[: LONGEST_SLUG - 9]}-{digest}"


def _now() -> str:
    """To the millisecond: commands of one script line begin in the same second."""
    now = datetime.now()
    return f"{now:%Y-%m-%d_%H-%M-%S}-{now.microsecond // 1000:03d}"
