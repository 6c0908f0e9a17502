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

from .leftovers import make, sweep

BLOCK = 1 << 20
TIMEOUT_S = 60.0
"""For the trainer to go on sending."""
THREADS = min(4, os.cpu_count() or 1)
MEMORY = Path("/dev/shm")
COPY, PART = "tersely-fetched-", ".part-"
"""How the folders are called that files go to meanwhile, see `leftovers`."""
KEPT = 2
"""Copies of one kind that stay: the one in use, and the next."""


class Source(TypedDict):
    """Where a version can be had: what the trainer's publisher tells."""

    tag: str
    path: str
    url: str
    token: str
    checksums: dict[str, str]
    size: int
    """Bytes of all files together."""


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
    sweep_copies()  # a worker that died of too little memory may have left its copy in there
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > source["size"]
    folder = make(MEMORY if roomy else Path(tempfile.gettempdir()), COPY)
    try:
        copy(source, folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep_copies() -> None:
    """Remove the copies that killed workers left."""
    for place in (MEMORY, Path(tempfile.gettempdir())):
        sweep(place, COPY)


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
    opener = _opener()
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
        part = make(shelf, PART)
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


def _opener() -> urllib.request.OpenerDirector:
    """For HTTP and nothing else: from a trainer, which is an address in the same network and is
    not to send this server, with its token, anywhere else. So no proxies and no redirections."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.UnknownHandler,  # raises; without it there would be no answer at all
        urllib.request.HTTPErrorProcessor,
        urllib.request.HTTPDefaultErrorHandler,
    ):
        opener.add_handler(handler())
    return opener


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
