"""Checkpoints on disk, sound and damaged, as policies."""

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten, tree_map
from mlx_lm.models import llama

from tersely.errors import ConfigError, ModelError
from tersely.policy.load import (
    TINY,
    HubModelConfig,
    LocalModelConfig,
    Policy,
    checkpoint_fingerprint,
    load_policy,
)

Folder = Callable[[str], Path]


@pytest.fixture
def copy(checkpoint: Folder, tmp_path: Path) -> Path:
    """A checkpoint that a test may damage."""
    return shutil.copytree(checkpoint("qwen2"), tmp_path / "copy")


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def logits(model: Any) -> np.ndarray:
    return np.array(model(mx.array([[1, 2, 3]])))


def test_weights_are_float32_whatever_the_checkpoint_holds(copy: Path) -> None:
    """A bfloat16 weight of 1 would swallow an update of 1e-4."""
    weights = mx.load(str(copy / "model.safetensors"))
    halves = {name: array.astype(mx.bfloat16) for name, array in weights.items()}
    mx.save_safetensors(str(copy / "model.safetensors"), halves, metadata={"format": "pt"})

    loaded = dict(tree_flatten(load_policy(copy).parameters()))

    assert {mx.float32} == {array.dtype for array in loaded.values()}
    for name, array in loaded.items():
        assert mx.array_equal(halves[name].astype(mx.float32), array)


def test_what_a_policy_knows(policy: Policy) -> None:
    assert 1024 == policy.context_length()
    assert {"qwen2", "lfm2"} >= {policy.config["model_type"]}
    assert (policy.folder / "config.json").is_file()


def test_ends_of_turn_come_from_template_and_configs(copy: Path) -> None:
    """Sampling must stop at each; generation_config.json has the last word, as everywhere."""
    edit_config(copy, eos_token_id=11)
    tokenizer = load_policy(copy).tokenizer
    assert {tokenizer.end_of_turn, 11} == tokenizer.end_of_turn_ids

    (copy / "generation_config.json").write_text(json.dumps({"eos_token_id": [12, 13]}))
    tokenizer = load_policy(copy).tokenizer
    assert {tokenizer.end_of_turn, 12, 13} == tokenizer.end_of_turn_ids


def test_a_twin_shares_arrays_and_goes_its_own_way(policy: Policy) -> None:
    """The reference and the sampler are twins: no copy is made, no update reaches them."""
    before = logits(policy.model)
    twin = policy.twin()
    np.testing.assert_array_equal(before, logits(twin))
    held = mx.get_active_memory()
    size = sum(array.nbytes for _, array in tree_flatten(policy.parameters()))

    another = policy.twin()
    assert mx.get_active_memory() - held < size / 10

    policy.model.update(tree_map(lambda array: array * 1.5, policy.parameters()))
    np.testing.assert_array_equal(before, logits(twin))
    np.testing.assert_array_equal(before, logits(another))
    assert not np.allclose(before, logits(policy.model))
    np.testing.assert_array_equal(logits(policy.model), logits(policy.twin()))


def test_parameters_are_a_snapshot(policy: Policy) -> None:
    """Rollouts are sampled from it while the policy is updated."""
    snapshot = policy.parameters()
    before = {name: np.array(array) for name, array in tree_flatten(snapshot)}

    policy.model.update(tree_map(lambda array: array + 1, policy.parameters()))

    for name, array in tree_flatten(snapshot):
        np.testing.assert_array_equal(before[name], np.array(array))


def test_a_twin_works_in_another_thread_even_with_a_scaled_rope(tmp_path: Path) -> None:
    """Llama 3 computes its rope frequencies lazily, and MLX refuses to evaluate in one thread
    what another has asked for: "There is no Stream(cpu, 0) in current thread"."""
    config = {
        "model_type": "llama",
        "vocab_size": 2048,
        "hidden_size": 64,
        "num_hidden_layers": 1,
        "intermediate_size": 96,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
        "rope_scaling": {
            "factor": 8.0,
            "high_freq_factor": 4.0,
            "low_freq_factor": 1.0,
            "original_max_position_embeddings": 256,
            "rope_type": "llama3",
        },
    }
    model = llama.Model(llama.ModelArgs.from_dict(config))
    weights = dict(tree_flatten(model.parameters()))
    mx.save_safetensors(str(tmp_path / "model.safetensors"), weights, metadata={"format": "pt"})
    (tmp_path / "config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(TINY / name, tmp_path / name)
    policy = load_policy(tmp_path)
    twin = policy.twin()

    def in_thread() -> np.ndarray:
        with mx.stream(mx.new_thread_local_stream(mx.default_device())):
            return logits(twin)

    with ThreadPoolExecutor(1) as pool:
        np.testing.assert_array_equal(logits(policy.model), pool.submit(in_thread).result())


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "No safetensors"),
    "weights cut short": (lambda folder: truncate(folder / "model.safetensors"), "safetensors"),
    "weights that are none": (
        lambda folder: (folder / "model.safetensors").write_bytes(b"version https://git-lfs"),
        "no sound safetensors",
    ),
    "config cut short": (lambda folder: truncate(folder / "config.json"), "config.json"),
    "config that is a list": (lambda folder: (folder / "config.json").write_text("[]"), "config"),
    "unknown architecture": (lambda f: edit_config(f, model_type="mystery"), "mystery"),
    "weights of another size": (lambda f: edit_config(f, hidden_size=128), "shape"),
    "weights missing": (lambda f: edit_config(f, num_hidden_layers=9), "Missing 84 parameters;"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_named(damage: str, copy: Path) -> None:
    """One sentence with the folder and what is wrong, never mlx-lm's own traceback."""
    if damage == "config cut short":
        edit_config(copy, padding="x" * 2000)
    harm, said = DAMAGE[damage]
    harm(copy)

    with pytest.raises(ModelError, match=said) as caught:
        load_policy(copy)

    assert str(copy) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_fingerprint_follows_everything_that_is_loaded(copy: Path) -> None:
    """The name of a shared stage depends on it."""
    fingerprint = checkpoint_fingerprint(copy)
    assert 16 == len(fingerprint)

    os.utime(copy / "config.json", (0, 0))
    (copy / "README.md").write_text("words")
    assert fingerprint == checkpoint_fingerprint(copy)

    seen = {fingerprint}
    for name in ("tokenizer.json", "config.json", "chat_template.jinja", "model.safetensors"):
        with (copy / name).open("ab") as file:
            file.write(b" ")
        seen.add(checkpoint_fingerprint(copy))
    assert 5 == len(seen)


def test_fingerprint_follows_a_vocabulary_in_text_files(copy: Path) -> None:
    """Older tokenizers lie in merges.txt and tokenizer.model."""
    seen = {checkpoint_fingerprint(copy)}
    for name in ("merges.txt", "tokenizer.model"):
        (copy / name).write_text("a b")
        seen.add(checkpoint_fingerprint(copy))
    assert 3 == len(seen)


def test_a_local_model_needs_its_folder(tmp_path: Path, checkpoint: Folder) -> None:
    for blank in ("", "  "):
        with pytest.raises(ConfigError, match=r"model\.path is not set; set model\.path=FOLDER"):
            LocalModelConfig(blank)
    with pytest.raises(ModelError, match=rf"model\.path={tmp_path} is not a checkpoint"):
        LocalModelConfig(str(tmp_path)).folder()
    assert checkpoint("lfm2") == LocalModelConfig(str(checkpoint("lfm2"))).folder()


def test_a_home_directory_is_understood(
    checkpoint: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkpoint("qwen2")
    monkeypatch.setenv("HOME", str(folder.parent))
    assert folder == LocalModelConfig(f"~/{folder.name}").folder()


def test_a_hub_model_that_cannot_be_had_names_the_ways_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not in the cache, and no Hub: both ways on are in the message."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))

    with pytest.raises(ModelError, match="someone/model is neither in the local Hub cache") as said:
        HubModelConfig("someone/model").folder()

    assert "connect this machine once" in str(said.value)
    assert "model=local model.path=FOLDER" in str(said.value)


def test_a_hub_model_in_the_cache_needs_no_hub(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, checkpoint: Folder
) -> None:
    """A run on a machine that was online once goes on offline."""
    repo = tmp_path / "models--someone--model"
    snapshot = repo / "snapshots" / "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(checkpoint("qwen2"), snapshot)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(snapshot.name)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))

    assert snapshot == HubModelConfig("someone/model").folder()


def test_a_quantized_checkpoint_is_refused(copy: Path) -> None:
    """Training it would move its norms and biases alone, in silence."""
    from mlx_lm.utils import load_model, quantize_model, save_model

    model, config = load_model(copy)
    model, config = quantize_model(model, config, group_size=32, bits=4)
    (copy / "model.safetensors").unlink()
    save_model(copy, model)
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"quantized weights cannot be trained.*bf16"):
        load_policy(copy)


def test_a_stage_ends_in_float32_whatever_it_was_stored_in(policy: Policy) -> None:
    """So that summaries are scored alike whether the stage was trained here or taken from the
    store, where checkpoints are float32."""
    policy.model.set_dtype(mx.bfloat16)
    policy.merge()
    assert {mx.float32} == {array.dtype for _, array in tree_flatten(policy.parameters())}
