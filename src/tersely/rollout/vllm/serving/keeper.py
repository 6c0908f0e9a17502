"""Keep a command from outliving the process that wanted it, however that one ends.

    python -m tersely.rollout.vllm.serving.keeper PARENT_PID GRACE_S COMMAND ...

Runs COMMAND in a process group of its own. When it ends, or this process is told to end, or
PARENT_PID is no longer the parent, nothing of the group is left: it is asked to end, and killed
after GRACE_S seconds. The exit code is the command's, or 128 and a signal's number.

Watching the parent works on Linux and macOS alike, and after a SIGKILL, which no process can
answer. On Linux the kernel takes the command along if this process itself is killed.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

POLL_S = 0.1
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def keep(parent: int, grace_s: float, command: Sequence[str]) -> int:
    """Run `command` until it or `parent` ends; its exit code."""
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    # Ctrl-C reaches every process of a terminal; what to do is for the parent to say. Not
    # SIG_IGN, which the command would inherit.
    signal.signal(signal.SIGINT, lambda number, _: None)
    signal.signal(signal.SIGHUP, lambda number, _: None)
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        # This process has one thread and runs to its end, so the signal comes when it is killed
        # and at no other time.
        preexec_fn=_die_with_this if sys.platform == "linux" else None,
    )
    while child.poll() is None and os.getppid() == parent and not asked:
        time.sleep(POLL_S)
    _end(child, grace_s)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _end(child: "subprocess.Popen[bytes]", grace_s: float) -> None:
    if child.poll() is None:
        _signal(child.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.wait(grace_s)
    # Also when the command has ended: it may have left processes behind.
    _signal(child.pid, signal.SIGKILL)
    child.wait()


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # nobody left; macOS says the second
        os.killpg(group, number)


def _die_with_this() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(keep(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
