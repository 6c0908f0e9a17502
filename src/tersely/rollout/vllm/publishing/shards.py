"""Arrays into safetensors files, with their checksums.

Not `mx.save_safetensors`, because a gigabyte has to be cast, hashed and written in about a second:
here files are hashed from memory while they are written, several at a time, and the next arrays
are cast meanwhile. The format is described at https://github.com/huggingface/safetensors.
"""

import hashlib
import json
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx

SHARD_BYTES = 32 << 20
"""Least size of a file but the last: enough files that the cores can share them."""
THREADS = min(4, os.cpu_count() or 1)
DTYPES = {mx.float32: "F32", mx.bfloat16: "BF16", mx.float16: "F16"}


class Entry(NamedTuple):
    """An array as it goes into a file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: memoryview


def write_shards(weights: dict[str, mx.array], folder: Path) -> dict[str, str]:
    """Write `weights` to `model-*.safetensors` in `folder`; file name to SHA-256 in hex.

    Empties `weights` as it goes: of arrays that are computed for this (a cast to bfloat16), no
    more than a few files' worth is in memory.
    """
    written: dict[str, Future[str]] = {}
    unfinished: deque[Future[str]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        for number, shard in enumerate(_shards(weights), 1):
            name = f"model-{number:05}.safetensors"
            written[name] = pool.submit(_write, folder / name, shard)
            unfinished.append(written[name])
            if len(unfinished) > THREADS:
                unfinished.popleft().result()
    return {name: future.result() for name, future in written.items()}


def write_safetensors(weights: Mapping[str, mx.array], file: Path) -> str:
    """Write `weights` to one file; its SHA-256 in hex."""
    return _write(file, [_entry(name, array) for name, array in weights.items()])


def _shards(weights: dict[str, mx.array]) -> Iterator[list[Entry]]:
    shard: list[Entry] = []
    for name in list(weights):
        shard.append(_entry(name, weights.pop(name)))
        if sum(entry.data.nbytes for entry in shard) >= SHARD_BYTES:
            yield shard
            shard = []
    if shard:
        yield shard


def _entry(name: str, array: mx.array) -> Entry:
    # Computed here and not in the pool: what a thread has begun no other can finish.
    raw: Any = mx.contiguous(array).reshape(-1).view(mx.uint8)
    return Entry(name, DTYPES[array.dtype], tuple(array.shape), memoryview(raw))


def _write(file: Path, entries: Sequence[Entry]) -> str:
    digest = hashlib.sha256()
    with file.open("xb", buffering=0) as out:
        parts = [memoryview(_header(entries)), *(entry.data for entry in entries)]
        for part in parts:
            digest.update(part)
            _write_all(out.fileno(), part)
    return digest.hexdigest()


def _write_all(descriptor: int, part: memoryview) -> None:
    while part:  # a call writes 2 GiB at most
        part = part[os.write(descriptor, part) :]


def _header(entries: Sequence[Entry]) -> bytes:
    described: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for entry in entries:
        begin, end = end, end + entry.data.nbytes
        described[entry.name] = {
            "dtype": entry.dtype,
            "shape": entry.shape,
            "data_offsets": [begin, end],
        }
    text = json.dumps(described).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
