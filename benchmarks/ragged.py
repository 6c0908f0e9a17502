"""Two hundred updates on completions of any length: does memory grow, is anything compiled again?

The small shape of `update_step.py`, real AdamW updates, prompts of 50 to 600 tokens and groups of
8 completions of 1 to 192 tokens, drawn anew at each step. Prints one JSON object; `--quick` is 40
updates.

- `active_growth_mb`: arrays that stand between steps, last against a tenth of the way.
- `resident_growth_mb`: the same of the process as the kernel sees it (Linux).
- `compiled_early`, `compiled_late`: kernels that MLX has compiled for the CPU and loaded by then.
- `padding_share`: positions that went through the model without a token; `padding_share_whole`:
  had each group been padded to its longest completion.
"""

import argparse
import json
import random
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from tersely.policy.allocator import keep_freed_memory
from tersely.policy.blas import load_fast_blas

load_fast_blas()
keep_freed_memory()

import mlx.core as mx  # noqa: E402
from mlx.optimizers import AdamW  # noqa: E402
from update_step import make_model  # noqa: E402

from tersely.objective.config import GrpoConfig  # noqa: E402
from tersely.records import Batch, Example, Group, Prompt, Rollout  # noqa: E402
from tersely.training.config import Precision, TrainerConfig  # noqa: E402
from tersely.training.precision import Weights  # noqa: E402
from tersely.training.update import Updater  # noqa: E402

GROUP = 8


def batch(step: int, draw: random.Random, words: int) -> Batch:
    """A prompt and its completions, of random tokens and random lengths."""

    def tokens(length: int) -> tuple[int, ...]:
        return tuple(draw.randrange(words) for _ in range(length))

    prompt = Prompt(Example(str(step), "", ("",)), tokens(draw.randint(50, 600)))
    completions = [tokens(draw.randint(1, 192)) for _ in range(GROUP)]
    rollouts = tuple(Rollout(each, (-9.0,) * len(each), "stop", step, "") for each in completions)
    return Batch(step, (Group(prompt, rollouts),))


def compiled_kernels() -> int | None:
    """Libraries that MLX has compiled and loaded into this process; None where none can be seen."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return None
    paths = {line.split()[-1] for line in maps.read_text().splitlines() if line.endswith(".so")}
    return sum("/mlx/" in path and "/cpu/" in path for path in paths)


def resident_mb() -> float:
    """Resident memory now, or at its peak where the kernel does not say."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def padding(batches: list[Batch], updater: Updater) -> tuple[float, float]:
    """Share of positions without a token: as planned, and with whole groups."""
    planned = whole = used = 0
    for each in batches:
        group = each.groups[0]
        lengths = [len(rollout.token_ids) for rollout in group.rollouts]
        plan = updater.memory.plan(len(group.prompt.token_ids), lengths)
        planned += sum(chunk.tokens for chunk in plan.chunks)
        whole += len(lengths) * max(lengths)
        used += sum(lengths)
    return 1 - used / planned, 1 - used / whole


def main() -> None:
    """Make the updates and watch."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="40 updates")
    steps = 40 if parser.parse_args().quick else 200
    model = make_model("small")
    trainer = TrainerConfig(steps=steps, prompts_per_step=1)
    loss = GrpoConfig(beta=0.0)
    updater = Updater(
        model,
        None,
        loss.build(),
        Weights(model, AdamW(1e-6), Precision.fp32, seed=0),
        aggregation=loss.aggregation,
        trainer=trainer,
        max_tokens=192,
        temperature=1.0,
    )
    draw = random.Random(0)
    batches = [batch(step, draw, model.args.vocab_size) for step in range(steps)]
    seen: list[dict[str, Any]] = []
    for each in batches:
        began = time.perf_counter()
        advantages = [draw.gauss(0, 1) for _ in range(GROUP)]
        updater.step(each, [advantages])
        seen.append(
            {
                "seconds": time.perf_counter() - began,
                "active_mb": mx.get_active_memory() / 1e6,
                "resident_mb": resident_mb(),
                "compiled": compiled_kernels(),
            }
        )
        if each.step % 20 == 19:
            print(json.dumps({"update": each.step + 1} | seen[-1]), file=sys.stderr, flush=True)
    early, late = seen[steps // 10], seen[-1]
    planned, whole = padding(batches, updater)
    print(
        json.dumps(
            {
                "updates": steps,
                "active_growth_mb": round(late["active_mb"] - early["active_mb"], 3),
                "resident_growth_mb": round(late["resident_mb"] - early["resident_mb"], 1),
                "resident_mb": round(late["resident_mb"], 1),
                "compiled_early": early["compiled"],
                "compiled_late": late["compiled"],
                "peak_gb": round(mx.get_peak_memory() / 1e9, 3),
                "padding_share": round(planned, 3),
                "padding_share_whole": round(whole, 3),
                "median_seconds_first_half": round(
                    statistics.median(each["seconds"] for each in seen[: steps // 2]), 3
                ),
                "median_seconds_second_half": round(
                    statistics.median(each["seconds"] for each in seen[steps // 2 :]), 3
                ),
            }
        )
    )


if __name__ == "__main__":
    main()
