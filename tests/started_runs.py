"""Runs that are still going on."""

import os
import subprocess
import sys
import time
from pathlib import Path

from commands import ROOT

from tersely.tracking.folder_run import read_metrics


def started(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """`python train.py` in `folder`, as a person types it."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={name: value for name, value in os.environ.items() if "TERSELY" not in name},
    )


def wait_for_steps(process: "subprocess.Popen[str]", folder: Path, steps: int) -> None:
    """Until the run in `folder` has taken that many steps; it must not end before."""
    while sum("reward/mean" in line for line in read_metrics(folder)) < steps:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
