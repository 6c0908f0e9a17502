import json
from pathlib import Path
from typing import Any

import pytest

from tersely.errors import ConfigError, ModelError
from tersely.rollout.vllm.serving.command import arguments, check, environment, read_config
from tersely.rollout.vllm.serving.interpreter import Installed, Platform
from tersely.rollout.vllm.serving.options import ServeOptions

QWEN2: dict[str, Any] = {
    "model_type": "qwen2",
    "hidden_size": 896,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
}
LFM2 = {**QWEN2, "model_type": "lfm2", "hidden_size": 1024, "num_attention_heads": 16}
CPU = Installed("/vllm/python", "0.32.0", Platform.cpu, scale_out=True)
CUDA = Installed("/vllm/python", "0.32.0", Platform.cuda, scale_out=True)
METAL = Installed("/vllm/python", "0.27.1+cpu", Platform.metal, scale_out=False)


def flags(installed: Installed, config: dict[str, Any], **options: Any) -> dict[str, str]:
    """The flags of a command, with their values, "" for those that have none."""
    command = arguments(
        installed,
        config,
        ServeOptions("m", **options),
        model=Path("/model"),
        name="policy",
        port=8000,
    )
    assert ["/vllm/python", "-m", "vllm.entrypoints.openai.api_server"] == command[:3]
    found: dict[str, str] = {}
    for word in command[3:]:
        if word.startswith("--"):
            assert word not in found
            found[word] = ""
        else:
            found[list(found)[-1]] = word
    return found


def outer(installed: Installed) -> dict[str, str]:
    return environment(
        installed,
        folder=Path("/serve"),
        outer={"PATH": "/bin", "PYTHONPATH": "/mine", "OMP_NUM_THREADS": "3"},
    )


@pytest.mark.parametrize("installed", [CPU, CUDA, METAL])
def test_every_platform_serves_a_trainer(installed: Installed) -> None:
    found = flags(installed, QWEN2)
    assert "processed_logprobs" == found["--logprobs-mode"]
    assert "vllm" == found["--generation-config"]
    assert "tersely_worker.extension.WeightReceiver" == found["--worker-extension-cls"]
    assert "tersely_worker.guard.Guard" == found["--middleware"]
    assert ("/model", "policy") == (found["--model"], found["--served-model-name"])
    assert ("127.0.0.1", "8000") == (found["--host"], found["--port"])
    assert "--enable-lora" not in found


def test_a_vllm_that_has_not_the_flag_is_not_given_it() -> None:
    """vLLM 0.27, on which vllm-metal stands, would refuse to start."""
    assert "--enable-scale-out" in flags(CPU, QWEN2)
    assert "--enable-scale-out" not in flags(METAL, QWEN2)


def test_a_cpu_computes_in_float32_and_splits_no_prompt() -> None:
    found = flags(CPU, QWEN2, context=6000)
    assert "float32" == found["--dtype"]
    assert "--no-enable-chunked-prefill" in found
    assert ("6000", "6000") == (found["--max-model-len"], found["--max-num-batched-tokens"])
    assert "--compilation-config" not in found
    assert "auto" == flags(CUDA, QWEN2)["--dtype"]
    assert "--no-enable-chunked-prefill" not in flags(CUDA, QWEN2)
    assert "bfloat16" == flags(CPU, QWEN2, dtype="bfloat16")["--dtype"]


def test_the_context_is_the_models_but_4096_at_most() -> None:
    assert "4096" == flags(CPU, QWEN2)["--max-model-len"]
    assert "1024" == flags(CPU, {**QWEN2, "max_position_embeddings": 1024})["--max-model-len"]


def test_lfm2_on_a_cpu() -> None:
    """Without the rope operation that is wrong there, and with what its config.json lacks; what
    it has is left."""
    found = flags(CPU, {**LFM2, "conv_dim": 512})
    assert {"custom_ops": ["-rotary_embedding"]} == json.loads(found["--compilation-config"])
    assert "--no-enable-prefix-caching" in found
    assert {"block_dim": 1024} == json.loads(found["--hf-overrides"])
    assert {"conv_dim": 1024, "block_dim": 1024} == json.loads(flags(CUDA, LFM2)["--hf-overrides"])
    assert "--hf-overrides" not in flags(CPU, QWEN2)


@pytest.mark.parametrize(("asked", "given"), [(1, "1"), (4, "8"), (16, "16"), (17, "32")])
def test_adapters_get_the_next_rank_that_vllm_knows(asked: int, given: str) -> None:
    """And vllm-metal as many places as adapters."""
    found = flags(METAL, QWEN2, lora_rank=asked)
    assert given == found["--max-lora-rank"]
    assert found["--max-loras"] == found["--max-cpu-loras"]


def test_the_environment_adds_to_the_users() -> None:
    found = outer(CPU)
    assert "/serve/python:/mine" == found["PYTHONPATH"]
    assert ("/bin", "/serve") == (found["PATH"], found["TERSELY_SERVE_FOLDER"])
    assert "1" == found["VLLM_SERVER_DEV_MODE"] == found["VLLM_ALLOW_RUNTIME_LORA_UPDATING"]
    assert "127.0.0.1" == found["VLLM_HOST_IP"]


def test_a_server_has_a_token_whatever_the_user_has_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The user's own for this machine, or the one of the environment."""
    monkeypatch.delenv("TERSELY_TOKEN", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    own = outer(CPU)["TERSELY_TOKEN"]
    assert 43 == len(own)
    assert own == (tmp_path / ".cache" / "tersely" / "token").read_text()
    found = environment(CPU, folder=Path("/serve"), outer={"TERSELY_TOKEN": "mine"})
    assert "mine" == found["TERSELY_TOKEN"]


def test_threads_are_the_users_choice() -> None:
    assert ("3", "PASSIVE") == (outer(CPU)["OMP_NUM_THREADS"], outer(CPU)["OMP_WAIT_POLICY"])
    assert "VLLM_ENABLE_V1_MULTIPROCESSING" not in outer(CUDA)


def test_the_kv_cache_holds_32_sequences_or_4_gb() -> None:
    """A token takes 2 (key, value) x 24 layers x 2 heads x 64 dimensions x 4 bytes = 24576 bytes.
    32 sequences of 100 tokens take 75 MiB, below the least; of 1024 tokens 768 MiB, of 4096
    tokens 3 GiB, of 8192 tokens 6 GiB, above the most; and one sequence of 200,000 tokens takes
    4,915,200,000 bytes, without which it could not be sampled."""
    long = {**QWEN2, "max_position_embeddings": 200_000}
    expected = {
        100: 256 << 20,
        1024: 768 << 20,
        4096: 3 << 30,
        8192: 4 << 30,
        200_000: 4_915_200_000,
    }
    for context, size in expected.items():
        assert str(size) == flags(CPU, long, context=context)["--kv-cache-memory-bytes"]


def test_heads_that_a_cpu_has_no_kernel_for_are_refused() -> None:
    """64 / 4 = 16 dimensions: vLLM would start, and its first request would end it."""
    small = {**QWEN2, "hidden_size": 64, "num_attention_heads": 4}
    with pytest.raises(ModelError, match="have 16 dimensions"):
        check(small, ServeOptions("m"), Platform.cpu)
    check(small, ServeOptions("m"), Platform.cuda)
    check({**small, "head_dim": 128}, ServeOptions("m"), Platform.cpu)


NESTED = {"model_type": "gemma3", "text_config": QWEN2, "vision_config": {"hidden_size": 1}}
"""Of a model that sees, too."""


def test_sizes_may_lie_in_a_part_of_the_configuration() -> None:
    """64 dimensions, as those of QWEN2 itself."""
    check(NESTED, ServeOptions("m"), Platform.cpu)
    assert flags(CPU, QWEN2) == flags(CPU, NESTED)
    long = {**NESTED, "text_config": {**QWEN2, "max_position_embeddings": 1024}}
    assert "1024" == flags(CUDA, long)["--max-model-len"]


@pytest.mark.parametrize("missing", ["hidden_size", "num_attention_heads", "num_hidden_layers"])
def test_sizes_that_are_nowhere_are_missed_on_a_cpu_alone(missing: str) -> None:
    config = {key: value for key, value in QWEN2.items() if key != missing}
    check(config, ServeOptions("m"), Platform.cuda)
    flags(CUDA, config)
    with pytest.raises(ModelError, match=f"config.json has no {missing}"):
        check(config, ServeOptions("m"), Platform.cpu)


def test_a_context_beyond_the_models_is_refused() -> None:
    with pytest.raises(ConfigError, match="context=40000 is more than the model's 32768"):
        check(QWEN2, ServeOptions("m", context=40_000), Platform.cuda)


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_folder_that_is_no_checkpoint_is_said(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError, match="model= takes a folder in the Hub's layout"):
        read_config(tmp_path)
