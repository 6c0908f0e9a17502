"""Write a policy as a checkpoint in the Hub's layout, whole or not at all."""

import json
import os
import shutil
import tempfile
from pathlib import Path

from tersely.policy.load import Policy

COPIED = (
    "tokenizer*",
    "*.jinja",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
)


def save_checkpoint(policy: Policy, folder: Path) -> None:
    """Write weights (float32), config and tokenizer so that mlx-lm, transformers and vLLM load
    them; adapters are written merged, the policy keeps them. `folder` appears with its last file
    in place: a crash leaves no half checkpoint.

    An existing checkpoint at `folder` is replaced.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _save_weights(policy, beside / "model.safetensors")
        config = {**policy.config, "torch_dtype": "float32", "dtype": "float32"}
        (beside / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        for pattern in COPIED:
            for source in sorted(policy.folder.glob(pattern)):
                shutil.copyfile(source, beside / source.name)
        beside.chmod(0o755)
        _replace(beside, folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _save_weights(policy: Policy, file: Path) -> None:
    import mlx.core as mx

    from tersely.policy.hub_weights import hub_weights

    weights = hub_weights(policy.merged_parameters(), policy.config)
    mx.save_safetensors(str(file), weights, metadata={"format": "pt"})


def _replace(source: Path, target: Path) -> None:
    if not target.exists():
        os.replace(source, target)
        return
    old = source.with_name(source.name + "-old")
    os.replace(target, old)
    try:
        os.replace(source, target)
    except OSError:
        os.replace(old, target)
        raise
    shutil.rmtree(old)
