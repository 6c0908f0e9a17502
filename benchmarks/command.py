"""Time and peak memory of the README's commands: `python benchmarks/command.py [sweep]`.

Prints JSON. Runs in a temporary folder with a fresh store, as on a user's first day.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMMANDS = {
    "run": [],
    "sweep": ["-m", "reward=rouge,meteor,bleu", "strategy=joint,staged"],
}


def main(name: str) -> None:
    """Run one of `COMMANDS` and say what it took."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, str(ROOT / "train.py"), *COMMANDS[name]],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=sys.stderr,
        )
        seconds = time.perf_counter() - began
    # Linux counts kilobytes, macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    print(
        json.dumps(
            {
                "command": " ".join(["python train.py", *COMMANDS[name]]),
                "exit_code": done.returncode,
                "seconds": round(seconds, 1),
                "peak_memory_gb": round(peak / 1e9, 2),
                "processors": os.cpu_count(),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "run")
