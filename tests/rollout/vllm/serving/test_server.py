import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tersely.errors import RolloutError
from tersely.rollout.vllm.serving.process import health
from tersely.rollout.vllm.serving.server import LocalServer


def test_the_address_is_that_of_a_server_which_answers(
    stand_in_python: str, stand_in_checkpoint: Path, tmp_path: Path
) -> None:
    """And answers no more afterwards."""
    logs = tmp_path / "logs"
    with LocalServer(stand_in_checkpoint, python=stand_in_python, log_folder=logs) as url:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        with urllib.request.urlopen(f"{url}/health", timeout=10) as reply:
            assert 200 == reply.status
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{url}/health", timeout=10)
    port = url.rpartition(":")[2]
    assert {"serve.log", f"vllm-{port}.log"} == {path.name for path in logs.iterdir()}


PARENT = """
import pathlib, sys, time
from tersely.rollout.vllm.serving.process import health
from tersely.rollout.vllm.serving.server import LocalServer
print(LocalServer(pathlib.Path(sys.argv[1]), python=sys.argv[2],
                  log_folder=pathlib.Path(sys.argv[3])).start(), flush=True)
time.sleep(600)
"""


def test_a_run_that_is_killed_leaves_no_server(
    stand_in_python: str, stand_in_checkpoint: Path, tmp_path: Path
) -> None:
    """By SIGKILL, of which it notices nothing itself; nor is a file left."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, stand_in_checkpoint, stand_in_python, tmp_path / "logs"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as parent:
        assert parent.stdout is not None
        host, port = parent.stdout.readline().strip().removeprefix("http://").split(":")
        assert health(host, int(port))
        parent.kill()
    deadline = time.monotonic() + 30
    while health(host, int(port)) or list(tmp_path.glob("tersely-serve-*")):
        assert time.monotonic() < deadline, "the server is there 30 s after its run was killed"
        time.sleep(0.05)


def test_a_start_that_is_stopped_raises(
    stand_in_python: str, stand_in_checkpoint: Path, tmp_path: Path
) -> None:
    """By another thread, as when a run ends while its server is starting."""
    server = LocalServer(stand_in_checkpoint, python=stand_in_python, log_folder=tmp_path)
    with ThreadPoolExecutor() as pool:
        starting = pool.submit(server.start)
        while server._process is None:
            time.sleep(0.001)
        server.stop()
        with pytest.raises(RolloutError, match="did not start"):
            starting.result(timeout=30)


def test_why_a_server_does_not_start_is_said(
    stand_in_python: str, stand_in_checkpoint: Path, tmp_path: Path
) -> None:
    """With the cause first, not with what it took along, and without vLLM's decorations."""
    (stand_in_checkpoint / "model.safetensors").write_text("broken")
    server = LocalServer(stand_in_checkpoint, python=stand_in_python, log_folder=tmp_path)
    with pytest.raises(RolloutError) as raised:
        server.start()
    assert "ended while it was starting: RuntimeError: no room; RuntimeError: Engine" in str(
        raised.value
    )
    assert "(exit code 1, log in " in str(raised.value)


def test_what_is_asked_for_wrongly_is_said(stand_in_checkpoint: Path, tmp_path: Path) -> None:
    server = LocalServer(stand_in_checkpoint, python="/no/python", log_folder=tmp_path)
    with pytest.raises(RolloutError, match="did not start: python=/no/python is not an interpret"):
        server.start()


def test_stopping_what_never_started_is_nothing(stand_in_checkpoint: Path, tmp_path: Path) -> None:
    LocalServer(stand_in_checkpoint, python="python", log_folder=tmp_path).stop()
