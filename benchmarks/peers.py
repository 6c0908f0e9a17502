"""One GRPO update here and in other projects: `nox -s peers`, and `-- --full` for all of it.

The gradient of one group on the same weights, prompt, completions and advantages, without KL
term and optimizer step, computed by this project, by the plain computation, and by the loss and
gradient code of mlx-lm-lora, Unsloth on MLX and TRL. Each has its own environment, made below
`.nox/peer-environments` on the first call. On Linux, on the CPU, in float32, MLX with OpenBLAS.
Prints a line a peer on stderr and one JSON object on stdout. The exit code is 1 if this project
or the plain computation failed; what other peers fail with is in the JSON.

Working memory is what goes beyond weights and one gradient: the peak of MLX's allocator, or of
the resident memory under PyTorch; `peak_resident_mb` is the whole process in either case.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from peers.asking import BENCHMARKS, Peer, answer
from peers.comparison import with_ratios
from peers.environments import EnvironmentFailed, interpreter

ENVIRONMENTS = BENCHMARKS.parent / ".nox" / "peer-environments"
PLAIN_ROWS = {"small": 8, "Qwen2.5-0.5B": 2}
"""All eight rows of the large shape would need more than 20 GB."""
OWN, PLAIN = "tersely", "plain"
PEERS = {
    OWN: Peer("tersely_engine", "defaults: the group at once", "8"),
    "tersely chunked": Peer("tersely_engine", "four completions a chunk", "4"),
    "mlx-lm-lora": Peer("mlx_lm_lora_engine", "defaults: one row at a time", "", "mlx-lm-lora"),
    "mlx-lm-lora checkpointed": Peer(
        "mlx_lm_lora_engine", "layers checkpointed", "checkpointed", "mlx-lm-lora"
    ),
    "unsloth": Peer(
        "unsloth_engine",
        "defaults: two rows at a time, cut cross-entropy, layers checkpointed, compiled",
        "cce-checkpointed",
        "unsloth",
    ),
    "unsloth uncheckpointed": Peer(
        "unsloth_engine", "defaults, but layers not checkpointed", "cce", "unsloth"
    ),
    "unsloth logits": Peer(
        "unsloth_engine",
        "no cut cross-entropy, layers not checkpointed",
        "logits",
        "unsloth",
    ),
    "trl": Peer(
        "trl_engine",
        "defaults: all rows at once, layers checkpointed, fused LM head at every position",
        "checkpointed",
        "trl",
    ),
    "trl compact": Peer(
        "trl_engine",
        "layers not checkpointed, fused LM head at completion positions, as on a GPU",
        "compact",
        "trl",
    ),
}


def main() -> int:
    """Measure, print, and say by the exit code whether the comparison stands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="one timed call instead of three")
    size.add_argument("--full", action="store_true", help="also the shape of Qwen2.5-0.5B")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[name for name in PEERS if name != OWN],
        metavar="PEER",
        help="these beside this project; the plain computation is left out, and errors with it",
    )
    chosen = parser.parse_args()
    names = [OWN, *chosen.only] if chosen.only else [PLAIN, *PEERS]
    calls = {"small": 1 if chosen.quick else 3} | ({"Qwen2.5-0.5B": 1} if chosen.full else {})

    # What else ran here shows in the times, so it is looked up before this adds to it.
    machine = {"processors": len(os.sched_getaffinity(0)), "load_average": os.getloadavg()[0]}
    pythons = {None: Path(sys.executable)} | environments(names)
    results = {shape: measured(shape, repeats, pythons, names) for shape, repeats in calls.items()}
    versions = {
        name: row.pop("versions")
        for rows in results.values()
        for name, row in rows.items()
        if "versions" in row
    }
    print(json.dumps({"shapes": results, "versions": versions, "machine": machine}))
    failed = any(
        "error" in rows.get(name, {}) for rows in results.values() for name in (OWN, PLAIN)
    )
    return int(failed)


def environments(names: list[str]) -> dict[str, Path | EnvironmentFailed]:
    """The Python of every environment that these peers need, or why there is none."""
    pythons: dict[str, Path | EnvironmentFailed] = {}
    peers = [PEERS[name] for name in names if name in PEERS]
    for name in dict.fromkeys(peer.environment for peer in peers if peer.environment):
        say(f"environment of {name}")
        try:
            pythons[name] = interpreter(name, ENVIRONMENTS)
        except EnvironmentFailed as error:
            pythons[name] = error
    return pythons


def measured(
    shape: str, repeats: int, pythons: dict[Any, Path | EnvironmentFailed], names: list[str]
) -> dict[str, Any]:
    """The rows of one of `peers.task.SHAPES` for the peers of these names, or the plain one.

    Each is called once and then `repeats` times on the clock.
    """
    at_once = PLAIN_ROWS[shape]
    plain = Peer("plain_engine", f"{at_once} rows at a time, logits everywhere", str(at_once))
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        task = Path(folder)
        subprocess.run(
            [sys.executable, "-m", "peers.task", folder, shape], cwd=BENCHMARKS, check=True
        )
        for name in names:
            peer = plain if name == PLAIN else PEERS[name]
            python = pythons[peer.environment]
            if isinstance(python, EnvironmentFailed):
                rows[name] = {"settings": peer.settings, "error": str(python)}
            else:
                rows[name] = answer(peer, python, task, repeats, task / "plain.safetensors")
            say(f"{shape}: {name}: {in_words(rows[name])}")
    return with_ratios(rows, OWN)


def in_words(row: dict[str, Any]) -> str:
    """A row for a person."""
    if "error" in row:
        return f"failed: {row['error']}"
    error = row["gradient_error"]
    return (
        f"{row['seconds']:.2f} s, {row['working_memory_mb']:.0f} MB beyond weights and gradient, "
        + ("nothing to compare the gradient with" if error is None else f"off by {error:.0e}")
    )


def say(line: str) -> None:
    """Progress, for a person."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
