"""The process that measures."""

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import active_children
from pathlib import Path

from tersely.planning.apart import Found, measured_apart
from tersely.planning.jobs import Jobs
from tersely.planning.kinds import Kind, kinds_of


def test_one_that_the_system_kills_is_told_from_a_fault(jobs: Callable[..., Jobs]) -> None:
    """As it does where memory is used up."""
    (kind,) = kinds_of(jobs("seed=0").planned)
    found = measured_while(kind, lambda number: os.kill(number, signal.SIGKILL))
    assert (None, None, False) == (found.facts, found.measured, found.refused)
    assert "was killed, as a system does when its memory is used up" in found.problem


def test_ctrl_c_while_it_imports_is_for_whoever_started_it(jobs: Callable[..., Jobs]) -> None:
    """A terminal sends it to both. This one goes on, to what it has to say."""
    (kind,) = kinds_of(jobs("length.target=60", "rollout.max_tokens=60").planned)
    found = measured_while(kind, interrupt)
    assert "length.target=60 cannot be reached" in found.problem


def measured_while(kind: Kind, happens: Callable[[int], None]) -> Found:
    """What is found while something happens to the process that measures."""
    with ThreadPoolExecutor(1) as pool:
        measuring = pool.submit(measured_apart, kind, 1000)
        while not (children := active_children()):
            assert not measuring.done()
            time.sleep(0.01)
        for child in children:
            assert child.pid is not None
            happens(child.pid)
        return measuring.result()


def interrupt(process: int) -> None:
    """As soon as Python has its own way with Ctrl-C there, which is before any import of ours."""
    status = Path(f"/proc/{process}/status")
    handled = 0 if status.exists() else ~0
    while not handled & 1 << signal.SIGINT - 1:
        time.sleep(0.01)
        of = dict(line.split(":", 1) for line in status.read_text().splitlines())
        handled = 0 if "spawn_main" not in command_of(process) else int(of["SigCgt"], 16)
    os.kill(process, signal.SIGINT)


def command_of(process: int) -> str:
    return Path(f"/proc/{process}/cmdline").read_bytes().decode()


def test_what_the_configuration_is_to_blame_for_is_refused(jobs: Callable[..., Jobs]) -> None:
    (kind,) = kinds_of(jobs("length.target=60", "rollout.max_tokens=60").planned)
    found = measured_apart(kind, 1)
    assert found.refused
    assert "length.target=60 cannot be reached" in found.problem


def test_what_this_machine_lacks_is_not(jobs: Callable[..., Jobs], tmp_path: Path) -> None:
    (kind,) = kinds_of(jobs("data=jsonl", f"data.path={tmp_path / 'nowhere'}").planned)
    found = measured_apart(kind, 1)
    assert not found.refused
    assert "is not a folder" in found.problem
