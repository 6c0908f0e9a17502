"""An entry script whose process is killed at a moment of its work:
`killed.py N DELAY PART SCRIPT ...`.

Counted is each time that it opens, renames, links or removes a file of the run or of the store
whose path has PART in it. The N-th time, and `DELAY` seconds after, it gets SIGKILL; with N = 0 it
lives, and how often that was is written to `moments.txt`. So moments lie within writes of
checkpoints, of tables and of the store, and can be drawn from a seed.
"""

import os
import runpy
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

COUNTED = {"open", "os.rename", "os.remove", "os.mkdir", "os.symlink", "os.rmdir", "os.link"}
FOLDERS = ("multirun", "mlruns")


class Moments:
    """Counts them, and ends the process at one of them."""

    def __init__(self, last: int, delay: float, part: str) -> None:
        self.count = 0
        self._last, self._delay, self._part = last, delay, part
        self._begun = tuple(str(Path(name).absolute()) for name in FOLDERS)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in COUNTED or not self._ours(arguments[0]):
            return
        self.count += 1
        if self.count == self._last:
            if self._delay == 0:
                _die()
            threading.Thread(target=self._die_later, daemon=True).start()

    def _ours(self, path: Any) -> bool:
        if not isinstance(path, str | os.PathLike):
            return False
        whole = os.path.abspath(path)
        return whole.startswith(self._begun) and self._part in whole

    def _die_later(self) -> None:
        time.sleep(self._delay)
        _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    last, delay, part, script, *arguments = sys.argv[1:]
    moments = Moments(int(last), float(delay), part)
    sys.addaudithook(moments)
    sys.argv = [script, *arguments]
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        Path("moments.txt").write_text(str(moments.count))
