"""Freed memory is used again: seen in the page faults of a process of its own."""

import platform
import subprocess
import sys

import pytest

from tersely.policy import allocator
from tersely.policy.allocator import keep_freed_memory

FAULTS = """
import resource, sys
from tersely.policy.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
import mlx.core as mx

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for _ in range(3):
    mx.eval(mx.ones((1 << 24,)) + 1)
before = faults()
for _ in range(10):
    mx.eval(mx.ones((1 << 24,)) + 1)
print(faults() - before)
"""


def faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is a setting of glibc")
def test_arrays_stand_in_pages_that_were_used_before() -> None:
    """Ten arrays of 64 MiB are 163,840 pages of 4 KiB, at the least one fault for each 2 MiB;
    used again they are hardly any."""
    assert faults("give back") > 320
    assert faults("keep") < 100


def test_elsewhere_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.platform, "system", lambda: "Darwin")
    assert not keep_freed_memory()
