"""Ask one peer for its update, in a process of its own, and take it or its failure."""

import json
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from peers.comparison import gradient_error

BENCHMARKS = Path(__file__).parents[1]


class Peer(NamedTuple):
    """One way to compute the update."""

    engine: str
    """Module of this package."""
    settings: str
    """In words."""
    variant: str = ""
    """The same for the engine."""
    environment: str | None = None
    """Key of `environments.INSTALLS`; None is the environment of this process."""


def answer(peer: Peer, python: Path, task: Path, repeats: int, reference: Path) -> dict[str, Any]:
    """What a peer measured, with the error of its gradient; or its `error`, in one line.

    `task` is the folder that `peers.task` made, `reference` the plain gradient, which the plain
    peer itself writes. `gradient_error` is None if there is no reference.
    """
    plain = peer.engine == "plain_engine"
    gradient = reference if plain else task / "gradient.safetensors"
    arguments = [str(task / "checkpoint"), str(task / "task.json"), str(gradient), str(repeats)]
    done = subprocess.run(
        [str(python), "-m", f"peers.{peer.engine}", *arguments, peer.variant],
        cwd=BENCHMARKS,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        return {"settings": peer.settings, "error": last_line(done.stderr, done.returncode)}
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    try:
        measured["gradient_error"] = (
            gradient_error(reference, gradient) if reference.is_file() else None
        )
    except ValueError as error:
        return {"settings": peer.settings, "error": str(error)}
    finally:
        if not plain:
            gradient.unlink()
    return {"settings": peer.settings} | measured


def last_line(stderr: str, code: int) -> str:
    """The error of a process that ended with `code`; one that was killed says nothing."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    if code < 0 or not lines:
        return f"ended by signal {-code}" if code < 0 else f"exit code {code}"
    return lines[-1]
