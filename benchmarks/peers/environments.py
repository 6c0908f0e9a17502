"""An environment for each peer: their requirements exclude each other and this project's."""

import subprocess
import sys
from pathlib import Path

MLX = ("mlx[cpu]==0.32.4", "mlx-lm==0.32.2")

INSTALLS: dict[str, list[tuple[str, ...]]] = {
    # It asks for MLX without the Linux extra.
    "mlx-lm-lora": [("mlx-lm-lora==5.10.2", *MLX)],
    # On Linux it asks for torch, triton and TRL, of which its MLX part uses none.
    "unsloth": [("--no-deps", "unsloth-zoo==2026.10.9"), (*MLX, "transformers==5.17.0")],
    "trl": [("trl==1.16.0", "torch==2.13.0", "transformers==5.23.0")],
}
"""What pip is asked for, call by call."""


class EnvironmentFailed(Exception):
    """An environment could not be made; the message is what pip or venv said."""


def interpreter(peer: str, root: Path) -> Path:
    """The Python of a peer's environment below `root`, made if it is not there yet.

    Raises `EnvironmentFailed`.
    """
    folder = root / peer
    python, done = folder / "bin" / "python", folder / "installed.txt"
    wanted = "\n".join(" ".join(arguments) for arguments in INSTALLS[peer])
    if done.is_file() and done.read_text() == wanted:
        return python
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    for arguments in INSTALLS[peer]:
        _run([str(python), "-m", "pip", "install", "--quiet", *arguments])
    done.write_text(wanted)
    return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in said if line.startswith("ERROR")]
        raise EnvironmentFailed((errors or said or [f"exit code {done.returncode}"])[-1])
