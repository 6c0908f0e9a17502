"""The command, with a stand-in for vLLM; `test_real_serve.py` has a real one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tersely.errors import ModelError
from tersely.policy.load import TINY
from tersely.rollout.serve import checkpoint, reachable


def serve(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tersely.rollout.serve", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )


def test_help_names_every_key() -> None:
    from dataclasses import fields

    from tersely.rollout.vllm.serving.options import ServeOptions

    done = serve("--help")
    assert (0, "") == (done.returncode, done.stderr)
    for field in fields(ServeOptions):
        assert f"\n{field.name} " in done.stdout


def test_a_mistake_is_one_paragraph_and_exit_code_2() -> None:
    done = serve("model=tiny", "prot=8001")
    assert (2, "") == (done.returncode, done.stdout)
    assert "Error: there is no key prot; did you mean port?" == done.stderr.strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_serves_and_ends_when_told_to(
    stand_in_python: str, stand_in_checkpoint: Path, tmp_path: Path, number: int
) -> None:
    """The one line on standard output is what the trainer is to be told."""
    options = [f"model={stand_in_checkpoint}", f"python={stand_in_python}", "port=0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tersely.rollout.serve", *options, f"log_folder={tmp_path}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("rollout.workers=[http://127.0.0.1:")
    assert 1 == len(list(tmp_path.glob("tersely-serve-*")))
    process.send_signal(number)
    rest, said = process.communicate(timeout=60)
    assert (0, "") == (process.returncode, rest)
    assert "vLLM 0.32.0 on cpu" in said
    assert not list(tmp_path.glob("tersely-serve-*"))


def test_a_checkpoint_is_a_folder_or_the_embedded_one(tmp_path: Path) -> None:
    assert TINY == checkpoint("tiny")
    assert tmp_path == checkpoint(str(tmp_path))


def test_or_one_of_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="nobody/nothing-at-all is neither in the local Hub cache"):
        checkpoint("nobody/nothing-at-all")


def test_the_address_is_one_that_others_reach() -> None:
    """Not the one that stands for all."""
    assert "0.0.0.0" != reachable("0.0.0.0")
    assert "127.0.0.1" == reachable("127.0.0.1")
    assert "[::1]" == reachable("::1")
