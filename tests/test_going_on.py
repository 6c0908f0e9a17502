"""The command that goes on."""

import shlex
import signal
import sys
from pathlib import Path

import pytest

from tersely.errors import RunStopped
from tersely.going_on import command, interrupted_run, kept_in


def test_it_is_what_was_typed_with_the_folder_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Quoted for a shell; a folder that was named before is named once."""
    monkeypatch.chdir(tmp_path)
    typed = ["-m", "reward=rouge,bleu", "hydra.sweep.dir=elsewhere", "data.path='a b'"]
    monkeypatch.setattr(sys, "argv", ["train.py", *typed])
    line = command(tmp_path / "multirun" / "night", "sweep", "train")
    expected = ["python", "train.py", "-m", "reward=rouge,bleu", "data.path='a b'",
                "hydra.sweep.dir=multirun/night"]  # fmt: skip
    assert expected == shlex.split(line)
    assert line.endswith(" hydra.sweep.dir=multirun/night")


def test_it_says_what_is_kept(tmp_path: Path) -> None:
    """The newest checkpoint by its name; without one the run begins at its beginning."""
    assert "has no checkpoint yet" in kept_in(tmp_path)
    (tmp_path / "checkpoints" / "step_000040").mkdir(parents=True)
    (tmp_path / "checkpoints" / "latest").symlink_to("step_000040")
    said = interrupted_run(RunStopped("After step 40.", signal.SIGTERM), tmp_path, "train")
    assert said.startswith("\nInterrupted by SIGTERM. After step 40. ")
    assert "step_000040 as checkpoints/latest" in " ".join(said.split())
