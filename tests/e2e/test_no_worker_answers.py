"""`python train.py rollout=vllm` where nobody is there to sample."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOBODY = "rollout.workers=[http://127.0.0.1:9,http://127.0.0.1:11]"
SMALL = ("rollout=vllm", NOBODY, "tracking=none", "hydra.run.dir=run", "data.train=4",
         "data.validation=1", "data.test=1", "trainer.steps=2")  # fmt: skip


def started(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *SMALL, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={name: value for name, value in os.environ.items() if "TERSELY" not in name},
    )


def test_it_waits_and_then_says_who_did_not_answer(tmp_path: Path) -> None:
    said, _ = started(tmp_path, "rollout.patience_s=2").communicate(timeout=120)

    assert "no worker can be asked" in said
    assert "Traceback" not in said
    error = " ".join(said.partition("Error: ")[2].split())
    assert "no worker gave a rollout for 2 seconds (rollout.patience_s)" in error
    assert "http://127.0.0.1:9: " in error and "http://127.0.0.1:11: " in error
    assert "Connection refused" in error
    assert not (tmp_path / "run" / "checkpoints").exists()  # nothing was learned yet


def test_an_interrupt_does_not_take_the_patience(tmp_path: Path) -> None:
    """Ten minutes by default; the wait is in another thread."""
    process = started(tmp_path)
    log = tmp_path / "run" / "train.log"
    while not (log.exists() and "no worker can be asked" in log.read_text()):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    try:
        said, _ = process.communicate(timeout=120)  # of the patience of 600
    except subprocess.TimeoutExpired:
        process.kill()
        pytest.fail(f"it did not end: {process.communicate()[0]}")
    assert 130 == process.returncode
    assert "Interrupted" in said
