"""What runs inside a worker, as far as it goes without vLLM; `test_real_sync` has the rest."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import pytest

from tersely.rollout.vllm.publishing.shards import write_safetensors
from tersely.rollout.vllm.serving.worker_side import extension
from tersely.rollout.vllm.serving.worker_side.extension import WeightReceiver
from tersely.rollout.vllm.serving.worker_side.fetching import Source


class StandIn(WeightReceiver):
    """vLLM's worker, of a checkpoint in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.vllm_config = SimpleNamespace(model_config=SimpleNamespace(model=str(folder)))
        self.model_runner = SimpleNamespace(get_model=lambda: None)
        self.reloaded = 0
        self.fails = False

    def reload_weights(self, weights_iterator: Iterator[tuple[str, Any]]) -> None:
        self.reloaded += 1
        if self.fails:
            raise RuntimeError("half way")


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Its checkpoint has tensors a and b."""
    folder = tmp_path / "served"
    folder.mkdir()
    weights = {"a": mx.zeros((2, 3)), "b": mx.zeros((4,))}
    write_safetensors(weights, folder / "model.safetensors")
    (folder / "model.safetensors.index.json").write_text("{}")
    (folder / "config.json").write_text("{}")
    monkeypatch.setattr(extension, "renew_tied_heads", lambda model: 0)
    return StandIn(folder)


@pytest.fixture
def publish(tmp_path: Path) -> Callable[[dict[str, mx.array]], Source]:
    """Weights where this machine sees them."""

    def source(weights: dict[str, mx.array]) -> Source:
        folder = tmp_path / "run-1"
        folder.mkdir()
        checksum = write_safetensors(weights, folder / "model-00001.safetensors")
        checksums = {"model-00001.safetensors": checksum}
        return Source(tag="run-1", path=str(folder), url="", token="", checksums=checksums, size=0)

    return source


Publish = Callable[[dict[str, mx.array]], Source]


def fitting() -> dict[str, mx.array]:
    return {"a": mx.ones((2, 3)), "b": mx.ones((4,))}


def test_weights_that_fit_are_loaded(worker: StandIn, publish: Publish) -> None:
    result = worker.tersely_reload(publish(fitting()))

    assert (None, False, True) == (result["problem"], result["misfit"], result["touched"])
    assert 1 == worker.reloaded
    assert {"fetch", "load"} == set(result["seconds"])
    json.dumps(result)  # it goes over HTTP


def test_a_damaged_file_does_not_reach_the_model(worker: StandIn, publish: Publish) -> None:
    source = publish(fitting())
    file = Path(source["path"], "model-00001.safetensors")
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    result = worker.tersely_reload(source)

    assert "is damaged" in result["problem"]
    assert (False, False, 0) == (result["misfit"], result["touched"], worker.reloaded)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"a": mx.ones((2, 3))}, r"1 tensors differ, the first is b with none, .* has \(4,\)"),
        (fitting() | {"c": mx.ones((1,))}, r"the first is c with \(1,\), .* has none"),
        (fitting() | {"a": mx.ones((3, 2))}, r"the first is a with \(3, 2\), .* has \(2, 3\)"),
    ],
)
def test_weights_of_another_model_do_not_reach_this_one(
    worker: StandIn, publish: Publish, weights: dict[str, mx.array], said: str
) -> None:
    """Missing, too many, of another shape: vLLM would take the first of these without a word."""
    result = worker.tersely_reload(publish(weights))

    assert (True, False, 0) == (result["misfit"], result["touched"], worker.reloaded)
    with pytest.raises(ValueError, match=said):
        raise ValueError(result["problem"])


def test_a_tied_head_may_be_in_a_checkpoint_or_not(worker: StandIn, publish: Publish) -> None:
    result = worker.tersely_reload(publish(fitting() | {"lm_head.weight": mx.ones((2, 3))}))

    assert result["problem"] is None


def test_a_model_that_was_left_half_way_is_owned_up_to(worker: StandIn, publish: Publish) -> None:
    worker.fails = True
    result = worker.tersely_reload(publish(fitting()))

    assert ("RuntimeError: half way", True) == (result["problem"], result["touched"])


def test_a_restart_is_asked_for_with_a_whole_checkpoint(
    worker: StandIn, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new weights, and what else the present checkpoint has: not its weights and their
    index."""
    monkeypatch.setenv("TERSELY_SERVE_FOLDER", str(tmp_path / "serve"))
    (tmp_path / "serve").mkdir()
    source = publish(fitting())
    worker.tersely_restart(source)

    note = json.loads((tmp_path / "serve" / "restart.json").read_text())
    assert "run-1" == note["name"]
    model = Path(note["model"])
    assert {"config.json", "model-00001.safetensors"} == {file.name for file in model.iterdir()}
    content = (model / "model-00001.safetensors").read_bytes()
    assert source["checksums"]["model-00001.safetensors"] == hashlib.sha256(content).hexdigest()


def test_a_server_that_nobody_watches_is_not_asked_to_restart(
    worker: StandIn, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TERSELY_SERVE_FOLDER", raising=False)
    with pytest.raises(RuntimeError, match=r"tersely\.rollout\.serve"):
        worker.tersely_restart(publish(fitting()))


def test_what_runs_inside_a_worker_needs_nothing_of_tersely() -> None:
    """It is copied to where there is no Tersely."""
    for file in Path(extension.__file__).parent.glob("*.py"):
        assert "from tersely" not in file.read_text()
        assert "import tersely" not in file.read_text()
