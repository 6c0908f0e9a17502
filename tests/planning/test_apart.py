"""The process that measures."""

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import active_children
from pathlib import Path

from tersely.planning.apart import measured_apart
from tersely.planning.jobs import Jobs
from tersely.planning.kinds import kinds_of


def test_one_that_the_system_kills_is_told_from_a_fault(jobs: Callable[..., Jobs]) -> None:
    """As it does where memory is used up."""
    (kind,) = kinds_of(jobs("seed=0").planned)
    with ThreadPoolExecutor(1) as pool:
        measuring = pool.submit(measured_apart, kind, 1000)
        while not (children := active_children()):
            assert not measuring.done()
            time.sleep(0.01)
        for child in children:
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)
        found = measuring.result()
    assert (None, None, False) == (found.facts, found.measured, found.refused)
    assert "was killed, as a system does when its memory is used up" in found.problem


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
