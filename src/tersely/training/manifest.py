"""What a checkpoint consists of, so that one that is damaged is known before it is used."""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path

from tersely.whole_file import sync

MANIFEST = "manifest.json"
BLOCK = 1 << 22
"""Bytes read at a time."""


def write_manifest(folder: Path) -> None:
    """List every file of `folder` with its size and SHA-256, and have all of it on the disk."""
    files = {file.name: _described(file) for file in sorted(folder.iterdir())}
    _write(folder / MANIFEST, files)
    for file in folder.iterdir():
        sync(file)
    sync(folder)


def forget(folder: Path, names: Collection[str]) -> None:
    """Remove files that the manifest lists, so that the rest is sound at any moment."""
    files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    half = folder / f".{MANIFEST}"
    _write(half, {name: described for name, described in files.items() if name not in names})
    half.replace(folder / MANIFEST)
    for name in names:
        (folder / name).unlink(missing_ok=True)


def damage(folder: Path) -> str | None:
    """What is wrong with the checkpoint in `folder`; None where it is as it was written."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        for name, described in sorted(files.items()):
            if _described(folder / Path(name).name) != described:
                return f"{name} is not as it was written"
    except OSError as error:
        return f"{Path(error.filename or folder).name} cannot be read ({error.strerror})"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{MANIFEST} is no list of files"
    return None


def _write(manifest: Path, files: Mapping[str, object]) -> None:
    text = json.dumps({"files": files}, indent=1, sort_keys=True) + "\n"
    manifest.write_text(text, encoding="utf-8")


def _described(file: Path) -> dict[str, object]:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(BLOCK):
            digest.update(block)
    return {"bytes": file.stat().st_size, "sha256": digest.hexdigest()}
