"""The supervision is real, in a process of its own; the server is `stand_in_server`."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tersely.errors import ConfigError, RolloutError
from tersely.rollout.vllm.serving import supervise
from tersely.rollout.vllm.serving.options import ServeOptions
from tersely.rollout.vllm.serving.server import LocalServer
from tersely.rollout.vllm.serving.supervise import Supervisor, reserve
from tersely.rollout.vllm.serving.worker_side import fetching


def ask(url: str) -> dict[str, Any]:
    """What the stand-in says of how it was started."""
    with urllib.request.urlopen(f"{url}/said", timeout=10) as reply:
        said: dict[str, Any] = json.load(reply)
        return said


def ask_until(url: str, what: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first answer for which `what` holds; a server that is being started gives none."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if what(said := ask(url)):
                return said
        except (OSError, http.client.HTTPException, ValueError):  # half an answer, too
            pass
        time.sleep(0.05)
    raise AssertionError("did not happen within 30 s")


def served_name(said: dict[str, Any]) -> str:
    arguments = said["arguments"]
    return str(arguments[arguments.index("--served-model-name") + 1])


@pytest.fixture
def url(stand_in_python: str, stand_in_checkpoint: Path, tmp_path: Path) -> Iterator[str]:
    with LocalServer(
        stand_in_checkpoint, python=stand_in_python, log_folder=tmp_path / "logs"
    ) as address:
        yield address


def leave_weights(url: str, tmp_path: Path, weights: str) -> None:
    """Weights, and a note that they are to be served as run-7, as the worker side leaves it."""
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "model.safetensors").write_text(weights)
    folder = Path(ask(url)["environment"]["TERSELY_SERVE_FOLDER"])
    note = {"model": str(tmp_path / "new"), "name": "run-7"}
    (folder / "note.tmp").write_text(json.dumps(note))
    (folder / "note.tmp").rename(folder / "restart.json")


def test_the_worker_side_is_where_the_server_finds_it(url: str) -> None:
    """As a package beside no other: nothing that lies in the user's folder is imported."""
    said = ask(url)
    first = Path(said["environment"]["PYTHONPATH"].split(os.pathsep)[0])
    assert (first / "tersely_worker" / "guard.py").exists()
    assert ["python"] == [path.name for path in Path(said["cwd"]).iterdir()]
    assert said["cwd"] == said["environment"]["TERSELY_SERVE_FOLDER"]
    assert "700" == f"{os.stat(said['cwd']).st_mode & 0o777:o}"


def test_a_note_starts_the_server_with_other_weights(url: str, tmp_path: Path) -> None:
    """Once, under the name that the note says."""
    assert ("first", "policy") == (ask(url)["weights"], served_name(ask(url)))
    leave_weights(url, tmp_path, "second")
    said = ask_until(url, lambda said: served_name(said) == "run-7")
    assert "second" == said["weights"]
    assert not (Path(said["cwd"]) / "restart.json").exists()


def test_a_server_that_ended_is_started_again(url: str) -> None:
    before = ask(url)["pid"]
    os.kill(before, signal.SIGKILL)
    said = ask_until(url, lambda said: said["pid"] != before)
    assert "policy" == served_name(said)


def test_after_an_end_the_first_weights_are_served(url: str, tmp_path: Path) -> None:
    """The others may be gone by then; the trainer sees the name, and brings its own again."""
    leave_weights(url, tmp_path, "second")
    said = ask_until(url, lambda said: served_name(said) == "run-7")
    os.kill(said["pid"], signal.SIGKILL)
    assert "first" == ask_until(url, lambda said: served_name(said) == "policy")["weights"]


def test_weights_that_cannot_be_served_give_way_to_the_first(url: str, tmp_path: Path) -> None:
    """A server that ends while it starts with them is started with the first ones."""
    before = ask(url)["pid"]
    leave_weights(url, tmp_path, "broken")
    said = ask_until(url, lambda said: said["pid"] != before and served_name(said) == "policy")
    assert "first" == said["weights"]


def test_one_that_keeps_ending_is_given_up(
    stand_in_python: str,
    stand_in_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is started five times in all, and the error says where its log is."""
    (stand_in_checkpoint / "model.safetensors").write_text("brittle")
    monkeypatch.setattr(supervise, "BACK_OFF_S", (0.01, 0.01))
    options = ServeOptions(
        str(stand_in_checkpoint), port=0, python=stand_in_python, log_folder=str(tmp_path)
    )
    folder = tmp_path / "folder"
    folder.mkdir()
    supervisor = Supervisor(options, stand_in_checkpoint, folder)
    starts = []
    start = supervisor._start
    monkeypatch.setattr(supervisor, "_start", lambda wanted: (starts.append(wanted), start(wanted)))
    supervisor.start()
    with pytest.raises(RolloutError, match=r"ended 5 times.*vllm-\d+\.log"):
        supervisor.watch()
    supervisor.close()
    assert 5 == len(starts)


def test_what_a_killed_serve_left_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own folder, with models that its workers fetched, and what those were just fetching."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(fetching, "MEMORY", tmp_path / "memory")
    (tmp_path / "memory").mkdir()
    kill_itself = (
        "import os, signal, tempfile, sys; from pathlib import Path\n"
        "from tersely.rollout.vllm.serving.supervise import serving_folder\n"
        "from tersely.rollout.vllm.serving.worker_side import fetching, leftovers\n"
        "tempfile.tempdir = sys.argv[1]\n"
        "leftovers.make(Path(sys.argv[1], 'memory'), fetching.COPY)\n"
        "with serving_folder() as folder:\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert -signal.SIGKILL == subprocess.call([sys.executable, "-c", kill_itself, str(tmp_path)])
    assert 1 == len(list((tmp_path / "memory").iterdir()))
    assert 1 == len(list(tmp_path.glob("tersely-serve-*")))

    with supervise.serving_folder() as folder:
        assert [folder] == list(tmp_path.glob("tersely-serve-*"))
        assert [] == list((tmp_path / "memory").iterdir())
    assert ["memory"] == [each.name for each in tmp_path.iterdir()]


def test_a_port_in_use_is_said_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port={port} on host=127.0.0.1 cannot be had"):
            reserve("127.0.0.1", port)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a port cannot be kept for a child")
def test_a_reserved_port_is_there_for_the_server_alone() -> None:
    """Who asks for any free port gets another; who asks for this one by number can have it."""
    with reserve("127.0.0.1", 0) as reservation:
        address = reservation.getsockname()
        others = []
        for _ in range(50):
            with reserve("127.0.0.1", 0) as other:
                others.append(other.getsockname())
        assert address not in others
        with socket.create_server(address) as server:
            socket.create_connection(address).close()
            server.accept()[0].close()
