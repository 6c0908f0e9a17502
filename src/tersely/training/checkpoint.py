"""Write a policy as a checkpoint in the Hub's layout, whole or not at all."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tersely.errors import CheckpointError
from tersely.policy.load import Policy
from tersely.training.manifest import write_manifest
from tersely.whole_file import sync

COPIED = (
    "tokenizer*",
    "*.jinja",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
)

OLD = "-old"


def save_checkpoint(
    policy: Policy, folder: Path, beside: Callable[[Path], None] = lambda folder: None
) -> None:
    """Write weights (float32), config and tokenizer so that mlx-lm, transformers and vLLM load
    them; adapters are written merged, the policy keeps them. `beside` writes more files into the
    folder that it is given.

    An existing checkpoint at `folder` is replaced. Raises `CheckpointError` where it cannot be
    written; what was there before is there still.
    """
    try:
        with _whole(folder) as half:
            _save_weights(policy, half / "model.safetensors")
            config = {**policy.config, "torch_dtype": "float32", "dtype": "float32"}
            (half / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
            for pattern in COPIED:
                for source in sorted(policy.folder.glob(pattern)):
                    shutil.copyfile(source, half / source.name)
            beside(half)
    # RuntimeError is what MLX says of a file that it cannot write.
    except (OSError, RuntimeError) as error:
        said = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise CheckpointError(
            f"the checkpoint {folder} cannot be written ({said}); make room there, or set "
            "hydra.run.dir=FOLDER to a place that has some"
        ) from error


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `folder` with its manifest once all of it is on the
    disk: a crash leaves no half checkpoint."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    half = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield half
        half.chmod(0o755)
        write_manifest(half)
        _replace(half, folder)
        sync(folder.parent)
    except BaseException:
        shutil.rmtree(half, ignore_errors=True)
        raise


def _save_weights(policy: Policy, file: Path) -> None:
    import mlx.core as mx

    from tersely.policy.hub_weights import hub_weights

    weights = hub_weights(policy.merged_parameters(), policy.config)
    mx.save_safetensors(str(file), weights, metadata={"format": "pt"})


def _replace(source: Path, target: Path) -> None:
    old = target.with_name(f".{target.name}{OLD}")
    if target.exists():
        os.replace(target, old)
    try:
        os.replace(source, target)
    except BaseException:
        if old.exists():
            os.replace(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def clear_up(folder: Path) -> None:
    """Remove what a process that was killed was just writing into `folder`; a checkpoint that it
    had moved aside for a newer one is put back."""
    for old in folder.glob(f".*{OLD}"):
        place = folder / old.name.removeprefix(".").removesuffix(OLD)
        if not place.exists():
            os.replace(old, place)
    for half in folder.glob(".*-*"):
        shutil.rmtree(half, ignore_errors=True)
