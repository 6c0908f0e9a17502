"""Random models of architectures that lack one of the engine's short cuts, made on the spot."""

from typing import Any

import mlx.nn as nn
from mlx_lm.models import gemma2, gemma3_text, granite, qwen2

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "rms_norm_eps": 1e-6,
    "vocab_size": 2048,
}


def untied() -> nn.Module:
    """Qwen2 with an LM head of its own."""
    return qwen2.Model(qwen2.ModelArgs(model_type="qwen2", tie_word_embeddings=False, **SMALL))


def windowed(window: int = 8) -> nn.Module:
    """Gemma 3, two of whose three layers remember the last `window` tokens only."""
    return gemma3_text.Model(
        gemma3_text.ModelArgs(
            model_type="gemma3_text",
            head_dim=16,
            sliding_window=window,
            sliding_window_pattern=3,
            **SMALL,
        )
    )


def capped(cap: float = 2.0, **sizes: int) -> nn.Module:
    """Gemma 2, which keeps its logits between -cap and cap; its caches can be shared."""
    return gemma2.Model(
        gemma2.ModelArgs(
            model_type="gemma2",
            **{"head_dim": 16, "final_logit_softcapping": cap, **SMALL, **sizes},
        )
    )


def scaled(divisor: float = 3.0) -> nn.Module:
    """Granite divides its logits."""
    return granite.Model(
        granite.ModelArgs(
            model_type="granite",
            logits_scaling=divisor,
            attention_multiplier=0.25,
            embedding_multiplier=2.0,
            residual_multiplier=0.5,
            max_position_embeddings=128,
            attention_bias=False,
            mlp_bias=False,
            rope_theta=1e4,
            **SMALL,
        )
    )
