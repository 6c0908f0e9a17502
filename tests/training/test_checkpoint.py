"""Saved policies, read back by the libraries that users read them with."""

import json
import os
from pathlib import Path

import mlx.core as mx
import mlx_lm
import numpy as np
import pytest
from mlx.utils import tree_map
from transformers import AutoConfig, AutoTokenizer

from tersely.errors import CheckpointError
from tersely.policy.load import Policy, load_policy
from tersely.training.checkpoint import save_checkpoint


def logits(model: object) -> np.ndarray:
    return np.array(model(mx.array([[5, 9, 301, 77]])))  # type: ignore[operator]


@pytest.fixture
def trained(policy: Policy) -> Policy:
    """Weights a little off those of any file, by less than bfloat16 could tell."""
    policy.model.update(tree_map(lambda array: array * (1 + 1e-5), policy.parameters()))
    return policy


def test_mlx_lm_loads_it_with_the_same_logits(trained: Policy, tmp_path: Path) -> None:
    save_checkpoint(trained, tmp_path / "final")

    model, tokenizer = mlx_lm.load(str(tmp_path / "final"))

    np.testing.assert_array_equal(logits(trained.model), logits(model))
    assert tokenizer.encode("the dog") == list(trained.tokenizer.encode_completion("the dog"))


def test_a_policy_goes_on_from_it(trained: Policy, tmp_path: Path) -> None:
    """The second stage of a strategy: same logits, same prompts, same ends of turn."""
    save_checkpoint(trained, tmp_path / "stage")

    resumed = load_policy(tmp_path / "stage")

    np.testing.assert_array_equal(logits(trained.model), logits(resumed.model))
    assert trained.tokenizer.end_of_turn_ids == resumed.tokenizer.end_of_turn_ids
    assert trained.tokenizer.encode_prompt("s", "p") == resumed.tokenizer.encode_prompt("s", "p")
    assert trained.context_length() == resumed.context_length()


def test_transformers_reads_config_and_tokenizer(trained: Policy, tmp_path: Path) -> None:
    """The dtype too, by its old name and its new one."""
    save_checkpoint(trained, tmp_path / "final")

    config = AutoConfig.from_pretrained(tmp_path / "final")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "final")

    assert trained.config["model_type"] == config.model_type
    assert 64 == config.hidden_size
    said = json.loads((tmp_path / "final" / "config.json").read_text())
    assert ("float32", "float32") == (said["torch_dtype"], said["dtype"])
    message = [{"role": "user", "content": "hello"}]
    assert "hello" in tokenizer.apply_chat_template(message, tokenize=False)


def test_it_can_be_read_by_others(trained: Policy, tmp_path: Path) -> None:
    """A temporary folder is its owner's alone; a checkpoint is not."""
    save_checkpoint(trained, tmp_path / "final")
    assert 0o755 == (tmp_path / "final").stat().st_mode & 0o777
    assert {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "manifest.json",
    } == {path.name for path in (tmp_path / "final").iterdir()}


def test_weights_have_the_shapes_of_the_hub(trained: Policy, tmp_path: Path) -> None:
    """Lfm2's convolutions are `[channels, 1, kernel]` there and `[channels, kernel, 1]` in MLX."""
    save_checkpoint(trained, tmp_path / "final")
    shapes = {
        name: array.shape
        for name, array in mx.load(str(tmp_path / "final" / "model.safetensors")).items()
        if name.endswith("conv.conv.weight")
    }
    convolutions = {"qwen2": 0, "lfm2": 2}[trained.config["model_type"]]
    assert [(64, 1, 3)] * convolutions == list(shapes.values())


def test_weights_are_float32_whatever_the_policy_computes_in(
    trained: Policy, tmp_path: Path
) -> None:
    """As the config says."""
    trained.model.set_dtype(mx.bfloat16)
    save_checkpoint(trained, tmp_path / "final")
    saved = mx.load(str(tmp_path / "final" / "model.safetensors"))
    assert {mx.float32} == {array.dtype for array in saved.values()}


def test_an_older_one_is_replaced_whole(trained: Policy, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "down" / "final"
    save_checkpoint(trained, folder)
    (folder / "stale").touch()
    trained.model.update(tree_map(lambda array: array * 1.1, trained.parameters()))

    save_checkpoint(trained, folder)

    np.testing.assert_array_equal(logits(trained.model), logits(load_policy(folder).model))
    assert not (folder / "stale").exists()
    assert ["final"] == [path.name for path in folder.parent.iterdir()]


@pytest.mark.parametrize("cause", ["config", "last rename"])
def test_a_save_that_fails_leaves_the_older_one(
    cause: str, trained: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half-way, and at the very last moment, when the older one has been moved aside."""
    folder = tmp_path / "final"
    save_checkpoint(trained, folder)
    before = logits(trained.model)
    trained.model.update(tree_map(lambda array: array * 1.1, trained.parameters()))
    if cause == "config":
        trained.config["unsaid"] = object()
    else:
        replace = os.replace

        def full(source: Path, target: Path) -> None:
            if target == folder and not source.name.endswith("-old"):
                raise OSError(28, "No space left on device")
            replace(source, target)

        monkeypatch.setattr(os, "replace", full)

    with pytest.raises((TypeError, CheckpointError)):
        save_checkpoint(trained, folder)

    np.testing.assert_array_equal(before, logits(load_policy(folder).model))
    assert ["final"] == [path.name for path in tmp_path.iterdir()]


def test_a_first_save_that_fails_leaves_nothing(trained: Policy, tmp_path: Path) -> None:
    trained.config["unsaid"] = object()
    with pytest.raises(TypeError):
        save_checkpoint(trained, tmp_path / "final")
    assert [] == list(tmp_path.iterdir())
