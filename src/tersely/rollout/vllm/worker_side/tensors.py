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


def repack_tied_heads(model: Any) -> int:
    """Pack the LM heads again that share the embedding's matrix; how many there are.

    On a CPU, vLLM 0.32 computes products with a packed copy of each matrix, which a reload makes
    anew where it loads a tensor. A tied head is loaded none and keeps the packed old matrix.
    """
    from vllm.platforms import current_platform  # type: ignore[import-not-found]

    if not current_platform.is_cpu():
        return 0
    from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm  # type: ignore[import-not-found]
    from vllm.model_executor.layers.vocab_parallel_embedding import (  # type: ignore[import-not-found]
        ParallelLMHead,
        VocabParallelEmbedding,
    )

    embeddings = [each for each in model.modules() if isinstance(each, VocabParallelEmbedding)]
    shared = {each.weight.data_ptr() for each in embeddings if not isinstance(each, ParallelLMHead)}
    tied = [
        each
        for each in embeddings
        if isinstance(each, ParallelLMHead) and each.weight.data_ptr() in shared
    ]
    for head in tied:
        dispatch_cpu_unquantized_gemm(head, remove_weight=False)
    return len(tied)
