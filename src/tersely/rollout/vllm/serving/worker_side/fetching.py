"""Files of a published version on this machine, each held against its checksum."""

import hashlib
import os
import shutil
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

BLOCK = 1 << 20
TIMEOUT_S = 60.0
"""For the trainer to go on sending."""
THREADS = min(4, os.cpu_count() or 1)
MEMORY = Path("/dev/shm")
ROOM = 4 << 30
"""Bytes that have to be free in memory for files to go there."""
KEPT = 2
"""Copies of one kind that stay: the one in use, and the next."""


class Source(TypedDict):
    """Where a version can be had: what the trainer's publisher tells."""

    tag: str
    path: str
    url: str
    token: str
    checksums: dict[str, str]


class NotFetched(Exception):
    """A file is missing, or is not what was published."""


@contextmanager
def fetched(source: Source) -> Iterator[Path]:
    """A folder with the files of `source`, checked: the trainer's own where this machine sees
    it, otherwise a copy that is removed afterwards. Raises `NotFetched`."""
    if is_here(source):
        check(source)
        yield Path(source["path"])
        return
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM
    folder = Path(tempfile.mkdtemp(prefix="tersely-", dir=MEMORY if roomy else None))
    try:
        copy(source, folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def is_here(source: Source) -> bool:
    """Whether this machine sees the trainer's own files."""
    return all(os.access(Path(source["path"], name), os.R_OK) for name in source["checksums"])


def check(source: Source) -> None:
    """Raise `NotFetched` where one of the trainer's own files is not what was published."""

    def read(name: str) -> str:
        with Path(source["path"], name).open("rb", buffering=0) as file:
            return _digest(file.readinto)

    _each(source, read)


def copy(source: Source, folder: Path) -> None:
    """Bring the files of `source` into `folder`, by path or over HTTP. Raises `NotFetched`."""
    here = is_here(source)
    # Not through a proxy: the trainer is an address in the same network.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    headers = {"Authorization": f"Bearer {source['token']}"}

    def opened(name: str) -> Any:
        if here:
            return Path(source["path"], name).open("rb", buffering=0)
        request = urllib.request.Request(f"{source['url']}/{name}", headers=headers)
        return opener.open(request, timeout=TIMEOUT_S)

    def bring(name: str) -> str:
        with opened(name) as incoming, Path(folder, name).open("xb") as file:
            return _digest(incoming.readinto, file.write)

    _each(source, bring)


def kept(source: Source, shelf: Path, *, copied: bool = False) -> Path:
    """A folder with the files of `source`, checked, that stays: the trainer's own where this
    machine sees it and no copy is wanted, otherwise a copy on `shelf`, where the last two are
    kept. Raises `NotFetched`."""
    if not copied and is_here(source):
        check(source)
        return Path(source["path"])
    _check_name(source["tag"])
    folder = shelf / source["tag"]
    if not folder.is_dir():
        shelf.mkdir(exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".part-", dir=shelf))
        try:
            copy(source, part)
            part.rename(folder)
        except OSError:
            if not folder.is_dir():  # if it is, another process of this server was first
                raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
    others = sorted(shelf.glob("[!.]*"), key=lambda each: each.stat().st_mtime)
    for old in others[:-KEPT]:
        if old != folder:
            shutil.rmtree(old, ignore_errors=True)
    return folder


def _each(source: Source, digest_of: Callable[[str], str]) -> None:
    """Call `digest_of` for each file, several at a time, and compare."""

    def compare(name: str) -> None:
        _check_name(name)
        try:
            digest = digest_of(name)
        except OSError as error:
            raise NotFetched(f"{name} of {source['tag']} could not be read: {error}") from error
        if digest != source["checksums"][name]:
            raise NotFetched(
                f"{name} of {source['tag']} is damaged: its SHA-256 is {digest}, and "
                f"{source['checksums'][name]} was published"
            )

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(compare, source["checksums"]))


def _check_name(name: str) -> None:
    """So that whoever gives weights to this server does not give it files anywhere else."""
    if Path(name).name != name or name == "..":
        raise NotFetched(f"{name!r} is no name of a file")


def _digest(
    read_into: Callable[[memoryview], int | None],
    write: Callable[[memoryview], object] | None = None,
) -> str:
    """SHA-256 in hex of what `read_into` gives until it gives nothing; `write` gets it too."""
    digest, block = hashlib.sha256(), memoryview(bytearray(BLOCK))
    while count := read_into(block):
        digest.update(block[:count])
        if write is not None:
            write(block[:count])
    return digest.hexdigest()
