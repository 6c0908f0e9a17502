"""Files that are there whole or not at all, and what is read where a crash came between."""

import glob
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


def write_whole(file: Path, text: str, synced: bool = False) -> None:
    """Write beside `file` and rename. `synced` has it on the disk before going on.

    The half beside it is named after the process, as several may write one file at a time; those
    of processes that were killed are removed.
    """
    for left in _left_by_killed(file):
        left.unlink(missing_ok=True)
    half = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with half.open("w", encoding="utf-8") as opened:
            opened.write(text)
            if synced:
                opened.flush()
                os.fsync(opened.fileno())
        half.replace(file)
    except BaseException:
        half.unlink(missing_ok=True)
        raise
    if synced:
        sync(file.parent)


def write_json(file: Path, values: Mapping[str, object], synced: bool = False) -> None:
    """An object of JSON, readable by a person."""
    write_whole(file, json.dumps(values, indent=2, ensure_ascii=False) + "\n", synced)


def read_kept(file: Path) -> dict[str, Any]:
    """The object in a JSON file; empty without one, and where it is broken, which the log says."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError(f"{type(values).__name__} for an object")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.warning("%s cannot be read (%s) and counts as missing", file, error)
        return {}
    return values


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk before going on."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _left_by_killed(file: Path) -> Iterator[Path]:
    """Halves of `file` whose process is gone."""
    for half in file.parent.glob(f".{glob.escape(file.name)}.*"):
        number = half.suffix.removeprefix(".")
        if re.fullmatch("[0-9]{1,9}", number) and not _is_running(int(number)):
            yield half


def _is_running(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
