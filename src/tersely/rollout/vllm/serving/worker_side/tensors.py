"""What has to be known of vLLM's models to give them other tensors."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

Shapes = dict[str, tuple[int, ...]]

TIED = "lm_head.weight"
"""In some checkpoints, although it is the embedding."""


class Misfit(Exception):
    """Weights of another model."""


def tensors_in(files: Sequence[Path]) -> Iterator[tuple[str, Any]]:
    """Name and tensor, one after the other."""
    from safetensors import safe_open

    for file in files:
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - it is no dict
                yield name, opened.get_tensor(name)


def shapes_in(files: Sequence[Path]) -> Shapes:
    """Name to shape; reads the files' headers."""
    from safetensors import safe_open

    shapes = {}
    for file in files:
        with safe_open(file, framework="numpy") as opened:
            for name in opened.keys():  # noqa: SIM118
                shapes[name] = tuple(opened.get_slice(name).get_shape())
    return shapes


def check_fits(shapes: Shapes, model: Path) -> None:
    """Raise `Misfit` where tensors are missing, too many or of another shape than those of
    the checkpoint that the server was started with.

    vLLM would find out about some of that half way through the model, and would keep what it
    has of tensors that are missing.
    """
    own = shapes_in(sorted(model.glob("*.safetensors"))) if model.is_dir() else {}
    if not own:  # a server that was started with a name on the Hub
        return
    for one, other in ((shapes, own), (own, shapes)):
        if TIED in one and TIED not in other:
            del one[TIED]
    wrong = sorted(name for name in shapes | own if shapes.get(name) != own.get(name))
    if wrong:
        first = wrong[0]
        raise Misfit(
            f"the weights are not those of {model}: {len(wrong)} tensors differ, the first is "
            f"{first} with {shapes.get(first, 'none')}, where the server has "
            f"{own.get(first, 'none')}"
        )


def renew_tied_heads(model: Any) -> int:
    """Let LM heads that share the embedding's matrix compute with the new one; how many there are.

    On a CPU, vLLM 0.32 computes products with a packed copy of each matrix, which a reload makes
    anew where it loads a tensor. A tied head is loaded none and keeps the packed old matrix. The
    embedding has a packed copy too, which nothing uses: the head takes that one.
    """
    from vllm.model_executor.layers.vocab_parallel_embedding import (  # type: ignore[import-not-found]
        ParallelLMHead,
        VocabParallelEmbedding,
    )

    layers = [each for each in model.modules() if isinstance(each, VocabParallelEmbedding)]
    heads = [each for each in layers if isinstance(each, ParallelLMHead)]
    renewed = 0
    for embedding in layers:
        for head in heads:
            tied = head is not embedding and head.weight.data_ptr() == embedding.weight.data_ptr()
            if tied and hasattr(embedding, "cpu_linear"):
                head.cpu_linear = embedding.cpu_linear
                renewed += 1
    return renewed
