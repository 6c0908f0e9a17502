"""Make what all peers are given: `python -m peers.task FOLDER SHAPE`.

A random Qwen2 checkpoint in the Hub's layout, and `task.json`: one prompt, a group of
completions, their advantages and the log-probabilities they were sampled with. Which tokens
they are makes no difference to time or memory, so they are random too.
"""

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import save_file

from peers.on_mlx import load_openblas

PROMPT, GROUP, COMPLETION = 300, 8, 64
"""Tokens of the prompt, completions, tokens of a completion with its end of turn."""
SEED = 7


class Shape(NamedTuple):
    """Size of a Qwen2."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: int


SHAPES = {
    "small": Shape(4, 256, 4, 2, 1024, 8192),
    "Qwen2.5-0.5B": Shape(24, 896, 14, 2, 4864, 151936),
}


def hub_config(shape: Shape) -> dict[str, Any]:
    """`config.json`; the last id of the vocabulary ends a turn."""
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "intermediate_size": shape.intermediate,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "max_position_embeddings": 32768,
        "rope_theta": 1000000.0,
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
        "use_sliding_window": False,
        "tie_word_embeddings": True,
        "eos_token_id": shape.vocabulary - 1,
        "torch_dtype": "float32",
    }


def weight_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """Shape of every weight, under the Hub's names."""
    hidden, inner = shape.hidden, shape.intermediate
    kv = hidden // shape.heads * shape.kv_heads
    weights: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (shape.vocabulary, hidden),
        "model.norm.weight": (hidden,),
    }
    for layer in range(shape.layers):
        for name, rows in (("q", hidden), ("k", kv), ("v", kv)):
            weights[f"model.layers.{layer}.self_attn.{name}_proj.weight"] = (rows, hidden)
            weights[f"model.layers.{layer}.self_attn.{name}_proj.bias"] = (rows,)
        weights |= {
            f"model.layers.{layer}.self_attn.o_proj.weight": (hidden, hidden),
            f"model.layers.{layer}.mlp.gate_proj.weight": (inner, hidden),
            f"model.layers.{layer}.mlp.up_proj.weight": (inner, hidden),
            f"model.layers.{layer}.mlp.down_proj.weight": (hidden, inner),
            f"model.layers.{layer}.input_layernorm.weight": (hidden,),
            f"model.layers.{layer}.post_attention_layernorm.weight": (hidden,),
        }
    return weights


def write_checkpoint(folder: Path, shape: Shape) -> None:
    """A random checkpoint: norms 1, everything else drawn with the spread of Qwen2."""
    random = np.random.default_rng(SEED)
    weights = {
        name: np.ones(size, np.float32)
        if "norm" in name
        else 0.02 * random.standard_normal(size, np.float32)
        for name, size in weight_shapes(shape).items()
    }
    folder.mkdir()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(hub_config(shape)))


def rollouts(shape: Shape) -> dict[str, Any]:
    """Prompt, completions and advantages (mean 0, standard deviation 1)."""
    random = np.random.default_rng(SEED)
    end = shape.vocabulary - 1
    tokens = random.integers(0, end, (GROUP, COMPLETION - 1)).tolist()
    rewards = random.standard_normal(GROUP)
    return {
        "prompt": random.integers(0, end, PROMPT).tolist(),
        "completions": [[*row, end] for row in tokens],
        "advantages": ((rewards - rewards.mean()) / rewards.std()).tolist(),
    }


def sampler_logprobs(checkpoint: Path, prompt: list[int], group: list[list[int]]) -> Any:
    """`[G][T]`: what a sampler with these weights would have noted, row by row."""
    load_openblas()
    import mlx.core as mx
    import mlx.nn as nn
    from mlx_lm.utils import load_model

    model, _ = load_model(checkpoint)
    rows = []
    for completion in group:
        logits = model(mx.array([[*prompt, *completion[:-1]]]))[0, len(prompt) - 1 :]
        chosen = mx.take_along_axis(nn.log_softmax(logits), mx.array(completion)[:, None], axis=-1)
        rows.append(chosen.squeeze(-1).tolist())
    return rows


def main(folder: Path, name: str) -> None:
    """Write the checkpoint and `task.json` into `folder`."""
    shape = SHAPES[name]
    write_checkpoint(folder / "checkpoint", shape)
    task = rollouts(shape)
    task["sampler_logprobs"] = sampler_logprobs(
        folder / "checkpoint", task["prompt"], task["completions"]
    )
    (folder / "task.json").write_text(json.dumps(task))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
