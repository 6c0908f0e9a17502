"""Real processes: a parent starts the keeper, which starts a command with a child of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

COMMAND = """
import os, pathlib, signal, subprocess, sys, time
stubborn, notes = sys.argv[1] == "stubborn", pathlib.Path(sys.argv[2])
if stubborn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
(notes / "pids.tmp").write_text(f"{os.getpid()} {child.pid}")
(notes / "pids.tmp").rename(notes / "pids")
time.sleep(600)
"""
"""Ends on SIGTERM, leaving its child behind; if stubborn, not even that."""

PARENT = """
import os, subprocess, sys, threading, time
def start():
    global keeper
    keeper = subprocess.Popen([sys.executable, "-m", "tersely.rollout.vllm.serving.keeper",
                               str(os.getpid()), "0.5", sys.executable, *sys.argv[1:]])
thread = threading.Thread(target=start)  # and gone when the command is running
thread.start()
thread.join()
print(keeper.pid, flush=True)
time.sleep(600)
"""

Start = Callable[[str], tuple["subprocess.Popen[str]", int, list[int]]]


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline, "did not happen within 30 s"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """No such process, or one that has ended and waits to be collected by PID 1."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")  # which a Mac has not; there PID 1 collects at once
    return stat.exists() and ") Z " in stat.read_text()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a parent; it, the keeper's pid, and the pids of the command and its child."""
    parents, strays = [], []

    def run(kind: str) -> tuple["subprocess.Popen[str]", int, list[int]]:
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, "-c", COMMAND, kind, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        parents.append(parent)
        assert parent.stdout is not None
        keeper = int(parent.stdout.readline())
        wait_for((tmp_path / "pids").exists)
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        strays.extend([keeper, *pids])
        assert not any(gone(pid) for pid in pids)
        return parent, keeper, pids

    yield run
    for parent in parents:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    for pid in strays:
        if not gone(pid):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("kind", ["polite", "stubborn"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_the_parent(start: Start, kind: str, number: int) -> None:
    """Neither a SIGKILL of the parent nor a command that ignores SIGTERM leaves a process behind;
    that the thread which started the keeper is gone ends nothing."""
    parent, keeper, pids = start(kind)
    time.sleep(0.5)
    assert not any(gone(pid) for pid in [keeper, *pids])
    parent.send_signal(number)
    wait_for(lambda: all(gone(pid) for pid in [keeper, *pids]))


def test_a_keeper_that_is_told_to_end_takes_all_along(start: Start) -> None:
    _, keeper, pids = start("stubborn")
    os.kill(keeper, signal.SIGTERM)
    wait_for(lambda: all(gone(pid) for pid in pids))


def test_what_a_command_leaves_behind_ends_with_it(start: Start) -> None:
    """As engine processes do whose server was killed for memory."""
    _, keeper, (command, child) = start("stubborn")
    os.kill(command, signal.SIGKILL)
    wait_for(lambda: gone(child) and gone(keeper))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_a_keeper_that_is_killed_takes_the_command_along(start: Start) -> None:
    _, keeper, (command, _) = start("polite")
    os.kill(keeper, signal.SIGKILL)
    wait_for(lambda: gone(command))


def test_an_interrupt_is_left_to_the_parent(start: Start) -> None:
    """Ctrl-C goes to every process of a terminal; the parent decides what it means."""
    _, keeper, pids = start("polite")
    os.kill(keeper, signal.SIGINT)
    time.sleep(0.5)
    assert not any(gone(pid) for pid in [keeper, *pids])


@pytest.mark.parametrize(
    ("program", "code"),
    [("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 128 + 9)],
)
def test_the_exit_code_is_the_commands(program: str, code: int) -> None:
    keeper = [sys.executable, "-m", "tersely.rollout.vllm.serving.keeper", str(os.getpid()), "5"]
    assert code == subprocess.run([*keeper, sys.executable, "-c", program]).returncode
