"""Safetensors files, read back with MLX's own reader."""

import hashlib
from pathlib import Path

import mlx.core as mx
import pytest

from tersely.rollout.vllm.publishing import shards
from tersely.rollout.vllm.publishing.shards import write_safetensors, write_shards


def arrays() -> dict[str, mx.array]:
    return {
        "a.weight": mx.random.normal((5, 7)),
        "b.weight": mx.random.normal((3, 2, 4)).transpose(0, 2, 1),  # not contiguous
        "c.bias": mx.arange(3).astype(mx.bfloat16) / 3,
    }


def test_a_file_has_what_was_written_and_its_checksum(tmp_path: Path) -> None:
    """Also what is laid out in another way than it is named."""
    written = arrays()
    checksum = write_safetensors(written, tmp_path / "one.safetensors")

    read = mx.load(str(tmp_path / "one.safetensors"))
    assert isinstance(read, dict)
    assert set(written) == set(read)
    for name, array in written.items():
        assert array.dtype == read[name].dtype
        assert mx.array_equal(array, read[name])
    assert checksum == hashlib.sha256((tmp_path / "one.safetensors").read_bytes()).hexdigest()


def test_large_weights_are_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With files of at least 100 bytes: `a` has 5 * 7 * 4 = 140, `b` 96 and `c` 6 more."""
    monkeypatch.setattr(shards, "SHARD_BYTES", 100)
    weights = arrays()
    checksums = write_shards(weights, tmp_path)

    assert ["model-00001.safetensors", "model-00002.safetensors"] == sorted(checksums)
    first, second = (mx.load(str(tmp_path / name)) for name in sorted(checksums))
    assert {"a.weight"} == set(first)
    assert {"b.weight", "c.bias"} == set(second)
    for name, checksum in checksums.items():
        assert checksum == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()


def test_weights_are_let_go_of_as_they_are_written(tmp_path: Path) -> None:
    weights = arrays()
    write_shards(weights, tmp_path)

    assert {} == weights


def test_a_file_is_never_written_over(tmp_path: Path) -> None:
    """A worker may be reading it."""
    write_safetensors(arrays(), tmp_path / "one.safetensors")
    with pytest.raises(FileExistsError):
        write_safetensors(arrays(), tmp_path / "one.safetensors")
