"""Real parts on a small scale: random checkpoints of the real architectures, made on the spot."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tersely.policy.blas import load_fast_blas

load_fast_blas()  # before any test imports MLX
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Of tests in the background of a script. What they start would ignore Ctrl-C too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
sys.orig_argv[0] = "python"  # messages say what to type, and name the interpreter as it was typed
# A busy machine is no failure, and what is drawn is the same every time.
settings.register_profile("untimed", deadline=None, derandomize=True)
settings.load_profile("untimed")

from docs.workplace import Workplace  # noqa: E402

from tersely.policy.load import TINY, Policy, load_policy  # noqa: E402
from tersely.rollout.vllm.serving.options import PYTHON_VARIABLE  # noqa: E402

SHARED = Path(__file__).parents[1].parent / "shared"
"""Real data and the real tokenizer, where this machine has them."""

QWEN2: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "vocab_size": 2048,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 96,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 1024,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
}
LFM2: dict[str, Any] = {
    "architectures": ["Lfm2ForCausalLM"],
    "model_type": "lfm2",
    "vocab_size": 2048,
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "layer_types": ["conv", "full_attention", "conv"],
    "block_dim": 64,
    "conv_dim": 64,
    "block_ff_dim": 96,
    "block_multiple_of": 32,
    "block_ffn_dim_multiplier": 1.0,
    "block_auto_adjust_ff_dim": False,
    "conv_L_cache": 3,
    "conv_bias": False,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 1024,
    "rope_theta": 10000.0,
    "norm_eps": 1e-5,
}
SPECK = QWEN2 | {"hidden_size": 8, "num_hidden_layers": 1, "intermediate_size": 8}
ARCHITECTURES = {"qwen2": QWEN2, "lfm2": LFM2, "speck": SPECK}


def write_checkpoint(folder: Path, config: dict[str, Any], tokenizer: Path = TINY) -> Path:
    """A random checkpoint in the Hub's layout, with the tokenizer files of `tokenizer`."""
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm.models import lfm2, qwen2

    module = {"qwen2": qwen2, "lfm2": lfm2}[config["model_type"]]
    folder.mkdir(parents=True)
    mx.random.seed(7)
    model = module.Model(module.ModelArgs.from_dict(config))
    weights = dict(tree_flatten(model.parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    for pattern in ("tokenizer*", "chat_template.jinja"):
        for source in tokenizer.glob(pattern):
            shutil.copyfile(source, folder / source.name)
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a random checkpoint of an architecture (qwen2 or lfm2), made once; `speck` is a
    qwen2 whose weights take 70 kB."""
    root, made = tmp_path_factory.mktemp("checkpoints"), {}

    def folder(architecture: str) -> Path:
        if architecture not in made:
            made[architecture] = write_checkpoint(root / architecture, ARCHITECTURES[architecture])
        return made[architecture]

    return folder


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """Where commands of the pages are run; has the README's sweep, made small."""
    return Workplace(tmp_path_factory.mktemp("pages"))


@pytest.fixture(params=["qwen2", "lfm2"])
def policy(request: pytest.FixtureRequest, checkpoint: Callable[[str], Path]) -> Policy:
    """A fresh policy of each architecture."""
    return load_policy(checkpoint(request.param))


@pytest.fixture(scope="session")
def vllm_python() -> str:
    """The interpreter of an environment with vLLM."""
    python = os.environ.get(PYTHON_VARIABLE)
    if not python:
        pytest.skip(f"{PYTHON_VARIABLE} is not set: `nox -s vllm` makes an environment with vLLM")
    return python
