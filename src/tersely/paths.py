"""Paths that somebody types, and as somebody would type them."""

import os
from pathlib import Path

from tersely.errors import ConfigError


def typed_path(text: str, key: str) -> Path:
    """`text`, the value of `key`, as a path, with `~` filled in. Nothing has to be there.

    Raises `ConfigError` for what can be no path on this machine, or cannot be looked at.
    """
    try:
        path = Path(text).expanduser()
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return path
    # RuntimeError is what an unknown user after `~` gives, ValueError a character 0.
    except (OSError, RuntimeError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error).rstrip(".")
        shown = text if len(text) <= 80 else f"{text[:80]}..."
        raise ConfigError(
            f"{key}={shown!r} is no path that can be read here ({said}); set {key} to a path on "
            "this machine, written out in full"
        ) from error
    return path


def from_here(folder: Path) -> Path:
    """The folder as one would type it."""
    absolute = folder.absolute()
    here = Path.cwd()
    return absolute.relative_to(here) if absolute.is_relative_to(here) else absolute
