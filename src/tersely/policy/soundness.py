"""Whether a checkpoint is what it should be, where loading it would not tell.

mlx-lm takes weights as their headers describe them: two tensors over the same bytes, whole
numbers in place of weights, and NaN. A run would go on from these without a word.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tersely.errors import ModelError

if TYPE_CHECKING:
    import mlx.nn as nn

_PICKLES = ("pytorch_model*", "consolidated*", "model*.bin", "model*.pt", "model*.pth")
"""What weights that are pickled are called; training_args.bin and the like are none."""
_FETCH_AGAIN = "fetch or write the checkpoint again"


def check_files(folder: Path) -> None:
    """Raise `ModelError` for weights that are pickled, or whose headers do not fit their bytes,
    and for a broken generation_config.json.

    A pickle is a program that runs when it is loaded. None is ever opened here.
    """
    from safetensors import SafetensorError, safe_open

    files = sorted(folder.glob("model*.safetensors"))
    pickles = sorted(path.name for each in _PICKLES for path in folder.glob(each))
    others = sorted(path.name for path in folder.glob("*.safetensors"))
    if not files and others:
        raise ModelError(
            f"the checkpoint in {folder} has no model*.safetensors, which is what weights are "
            f"looked for in; it has {others[0]}: fetch the checkpoint in the layout of the Hub, "
            "or rename it where these are its weights"
        )
    if not files and pickles:
        raise ModelError(
            f"the checkpoint in {folder} has its weights in {pickles[0]} and no safetensors: that "
            "is a pickle, which can run any code when it is loaded, so it is not; convert it to "
            "model.safetensors where you trust it, or take a checkpoint that has one"
        )
    generation = folder / "generation_config.json"
    if generation.exists():
        try:
            json.loads(generation.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            # mlx-lm passes over it in silence, and over the ends of turn that it names.
            raise ModelError(
                f"{generation} is no JSON ({_first_line(error)}), and it may name what ends a "
                f"turn; {_FETCH_AGAIN}"
            ) from error
    for path in files:
        try:
            # Opening it reads the header and holds it against the size of the file.
            with safe_open(path, framework="numpy"):
                pass
        except (OSError, SafetensorError) as error:
            raise ModelError(
                f"{path} is no sound safetensors file ({_first_line(error)}), so its weights "
                f"would be wrong; {_FETCH_AGAIN}"
            ) from error


def check_weights(model: "nn.Module", folder: Path) -> None:
    """Raise `ModelError` for weights that are whole numbers or are not finite."""
    import mlx.core as mx
    from mlx.utils import tree_flatten

    for name, array in tree_flatten(model.parameters()):
        if not mx.issubdtype(array.dtype, mx.floating):
            kind = str(array.dtype).removeprefix("mlx.core.")
            raise ModelError(
                f"{name} of the checkpoint in {folder} is of type {kind}, which cannot be trained; "
                "take the bf16 or float32 original"
            )
        if not mx.isfinite(array).all().item():
            raise ModelError(
                f"{name} of the checkpoint in {folder} has weights that are not finite numbers, "
                f"so would be all that it computes; {_FETCH_AGAIN}"
            )


def check_output(model: "nn.Module", token: int, folder: Path) -> None:
    """Raise `ModelError` unless the model computes finite logits for two tokens `token`."""
    import mlx.core as mx

    try:
        logits: Any = model(mx.array([[token, token]]))
        finite = bool(mx.isfinite(logits).all().item())
    except Exception as error:  # what a wrong value of config.json leads to is of any kind
        raise ModelError(
            f"the model in {folder} was loaded and cannot compute ({type(error).__name__}: "
            f"{_first_line(error)}); see whether its config.json is the original"
        ) from error
    if not finite:
        raise ModelError(
            f"the model in {folder} computes logits that are not finite numbers; see whether its "
            "config.json is the original"
        )


def check_end_ids(ids: object, vocabulary: object, folder: Path) -> frozenset[int]:
    """`eos_token_id` of a configuration as the ids that end a turn; raises `ModelError` unless
    they are ids of the model. `vocabulary` is how many it has, where its configuration says so."""
    given = ids if isinstance(ids, list) else [] if ids is None else [ids]
    for each in given:
        known = type(vocabulary) is not int or (type(each) is int and each < vocabulary)
        if type(each) is not int or each < 0 or not known:
            raise ModelError(
                f"eos_token_id of the checkpoint in {folder} is {str(ids)[:80]}, and {each!r} is "
                "no id of its model, so no completion would end with it; correct config.json or "
                "generation_config.json"
            )
    return frozenset(given)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(" :.")[:200]
