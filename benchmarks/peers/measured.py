"""How every peer is measured: what it is given, the clock, and the one line it prints.

A peer runs as `python -m peers.NAME_engine CHECKPOINT TASK GRADIENT REPEATS VARIANT` in an
environment of its own, so nothing here may import more than the standard library at the top.
"""

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple


class Order(NamedTuple):
    """What the parent asks of a peer."""

    checkpoint: Path
    """Folder in the Hub's layout, float32."""
    prompt: list[int]
    completions: list[list[int]]
    """G completions, each with its end-of-turn token."""
    advantages: list[float]
    """`[G]`"""
    sampler_logprobs: list[list[float]]
    """`[G][T]` in nats, of the same weights: the rollouts are fresh."""
    gradient: Path
    """Where the gradient is to be written, float32 safetensors under the Hub's names."""
    repeats: int
    variant: str
    """Which of a peer's own ways to compute; empty where it has one."""


def read_order() -> Order:
    """The order on this process's command line."""
    checkpoint, task, gradient, repeats, variant = sys.argv[1:]
    return Order(
        Path(checkpoint),
        **json.loads(Path(task).read_text()),
        gradient=Path(gradient),
        repeats=int(repeats),
        variant=variant,
    )


class Timed(NamedTuple):
    """The clock's side of a measurement."""

    first_seconds: float
    """The first call: with what is compiled, cached or allocated only once."""
    seconds: float
    """Median of the calls after it."""
    last: Any
    """What the last call returned."""


def timed(update: Callable[[], Any], repeats: int) -> Timed:
    """Call `update`, which must return only when all is computed, `1 + repeats` times."""
    seconds, last = [], None
    for _ in range(1 + repeats):
        # Or the gradient of the call before would count as working memory of this one.
        del last
        began = time.perf_counter()
        last = update()
        seconds.append(time.perf_counter() - began)
    return Timed(seconds[0], statistics.median(seconds[1:]), last)


def peak_resident_bytes() -> int:
    """Most memory that this process ever held at once, everything it imported included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def report(
    clock: Timed, loss: float, working_bytes: int, computes: dict[str, str], packages: list[str]
) -> None:
    """Print a peer's one line, what it measured and `versions` of the packages it stood on.

    `computes` says what the gradient is of: whether the end of a turn is trained, what token
    terms are divided by, what the ratio is, and whether there is a KL term.
    """
    print(
        json.dumps(
            {
                "seconds": round(clock.seconds, 3),
                "first_seconds": round(clock.first_seconds, 3),
                "working_memory_mb": round(working_bytes / 1e6, 1),
                "peak_resident_mb": round(peak_resident_bytes() / 1e6, 1),
                "loss": loss,
                "computes": computes,
                "versions": {name: version(name) for name in packages},
            }
        )
    )
