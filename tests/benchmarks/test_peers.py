"""The comparison with other projects: its arithmetic, and that it can be run at all."""

import ctypes
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.models import qwen2
from safetensors.numpy import save_file

from tersely.policy.blas import OPENBLAS

ROOT = Path(__file__).parents[2]
TINY = (2, 32, 4, 2, 64, 128)
"""Layers, hidden, heads, key-value heads, intermediate, vocabulary."""


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of `benchmarks/peers/`."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return lambda name: importlib.import_module(f"peers.{name}")


def gradient(path: Path, **weights: list[float]) -> Path:
    save_file({name: np.array(values, np.float32) for name, values in weights.items()}, path)
    return path


def test_gradient_error(peers: Any, tmp_path: Path) -> None:
    """|(3, 4) - (3, 5)| / |(3, 4)| = 1 / 5, whichever arrays the numbers lie in."""
    plain = gradient(tmp_path / "plain", a=[3.0], b=[4.0])
    other = gradient(tmp_path / "other", a=[3.0], b=[5.0])
    assert 0.2 == pytest.approx(peers("comparison").gradient_error(plain, other))


def test_gradients_of_other_weights(peers: Any, tmp_path: Path) -> None:
    """A weight that one side lacks is named, not left out of the sum."""
    plain = gradient(tmp_path / "plain", a=[3.0], b=[4.0])
    other = gradient(tmp_path / "other", a=[3.0])
    with pytest.raises(ValueError, match="only one of two gradients has b"):
        peers("comparison").gradient_error(plain, other)


def test_ratios(peers: Any) -> None:
    """3 s over 2 s is 1.5, 50 MB over 100 MB is 0.5; a failure stays a failure."""
    rows = {
        "own": {"seconds": 2.0, "working_memory_mb": 100.0},
        "other": {"seconds": 3.0, "working_memory_mb": 50.0},
        "broken": {"error": "no such module"},
    }
    ratios = peers("comparison").with_ratios(rows, "own")
    assert (1.0, 1.0) == (ratios["own"]["time_ratio"], ratios["own"]["memory_ratio"])
    assert (1.5, 0.5) == (ratios["other"]["time_ratio"], ratios["other"]["memory_ratio"])
    assert {"error": "no such module"} == ratios["broken"]


def test_ratios_without_own(peers: Any) -> None:
    rows = {"own": {"error": "x"}, "other": {"seconds": 3.0, "working_memory_mb": 50.0}}
    assert None is peers("comparison").with_ratios(rows, "own")["other"]["time_ratio"]


@pytest.mark.parametrize(
    ("stderr", "code", "said"),
    [
        ("Traceback\n  at line 1\nValueError: no\n\n", 1, "ValueError: no"),
        ("", 3, "exit code 3"),
        ("a warning before the kernel took its memory\n", -9, "ended by signal 9"),
    ],
)
def test_last_line(peers: Any, stderr: str, code: int, said: str) -> None:
    assert said == peers("asking").last_line(stderr, code)


def test_checkpoint_is_a_qwen2(peers: Any) -> None:
    """Names and shapes are those that mlx-lm's model has."""
    task = peers("task")
    shape = task.Shape(*TINY)
    model = qwen2.Model(qwen2.ModelArgs.from_dict(task.hub_config(shape)))
    expected = {name: array.shape for name, array in tree_flatten(model.parameters())}
    assert expected == task.weight_shapes(shape)


def test_peers_stand_on_the_same_mlx(peers: Any) -> None:
    """Or a difference between projects would be one between versions of MLX."""
    pinned = (ROOT / "constraints.txt").read_text().splitlines()
    assert set(pinned) >= {pin.replace("[cpu]", "") for pin in peers("environments").MLX}


def test_own_gradient_is_the_plain_one(peers: Any, tmp_path: Path) -> None:
    """Both engines run as the benchmark runs them; a peer that cannot is reported with why."""
    try:
        ctypes.CDLL(OPENBLAS)
    except OSError:
        pytest.skip(f"no {OPENBLAS} here")
    task, asking = peers("task"), peers("asking")
    shape = task.Shape(*TINY)
    checkpoint = tmp_path / "checkpoint"
    task.write_checkpoint(checkpoint, shape)
    given = task.rollouts(shape)
    given["sampler_logprobs"] = task.sampler_logprobs(
        checkpoint, given["prompt"], given["completions"]
    )
    (tmp_path / "task.json").write_text(json.dumps(given))

    def answer(engine: str, variant: str = "") -> dict[str, Any]:
        peer = asking.Peer(engine, "as it is", variant)
        reference = tmp_path / "plain.safetensors"
        return asking.answer(peer, Path(sys.executable), tmp_path, 1, reference)

    plain, own = answer("plain_engine", "8"), answer("tersely_engine", "8")
    assert 0 == plain["gradient_error"]
    assert 1e-5 > own["gradient_error"]
    assert own["loss"] == pytest.approx(plain["loss"], abs=1e-6)
    assert plain["working_memory_mb"] > own["working_memory_mb"] > 0
    assert "No module named peers.missing" in answer("missing")["error"]
