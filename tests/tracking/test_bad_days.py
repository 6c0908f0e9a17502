"""The store away, for a while or for good: what is measured is kept, and said where."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tersely.errors import TrackingError
from tersely.tracking import MlflowTracking
from tersely.tracking.folder_run import read_metrics
from tersely.tracking.store import load_mlflow, prepare_store

STARTING_S = 90.0


def steps_in_folder(folder: Path) -> list[float]:
    return [line["step"] for line in read_metrics(folder)]


def history(tracking: MlflowTracking, run_id: str | None) -> list[tuple[int, float]]:
    """In the order in which the store has them."""
    points = prepare_store(tracking).client.get_metric_history(str(run_id), "reward/mean")
    return [(point.step, point.value) for point in points]


def test_a_store_that_was_deleted_meanwhile_is_noticed(
    tracking: MlflowTracking, tmp_path: Path
) -> None:
    """SQLite would go on to write to a file that has no name any more; nothing is lost in it."""
    with (
        pytest.raises(TrackingError, match=r"did not take 2 metric points.*metrics are in") as told,
        tracking.build(tmp_path / "run", "a") as run,
    ):
        (Path(tracking.folder) / "mlflow.db").unlink()
        for step in (1, 2):
            run.metrics({"reward/mean": float(step)}, step)
    assert str(tmp_path / "run" / "metrics.jsonl") in str(told.value)
    assert [1, 2] == steps_in_folder(tmp_path / "run")


CHILD = """
import resource, sys
from pathlib import Path
from tersely.errors import TrackingError
from tersely.tracking import MlflowTracking

folder, most = Path(sys.argv[1]), int(sys.argv[2])
tracking = MlflowTracking(folder=str(folder / "mlruns"))
try:
    with tracking.build(folder / "run", "a") as run:
        # No file of this process grows beyond `most` bytes from here on, as on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        for step in range(200):
            run.metrics({"reward/mean": float(step)}, step)
        print("measured", flush=True)
except TrackingError as error:
    print(error)
"""


def test_a_disk_that_is_full_for_the_store_leaves_the_metrics(
    tracking: MlflowTracking, tmp_path: Path
) -> None:
    """The database is larger than what a file may have, the metrics are smaller: 200 lines of
    some 60 bytes. The run goes on to its end, which says where they are."""
    database = Path(tracking.folder) / "mlflow.db"
    assert 100_000 < database.stat().st_size
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), "100000"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert 0 == done.returncode, done.stderr
    assert done.stdout.startswith("measured\nthe MLflow store did not take 200 metric points")
    assert str(tmp_path / "run" / "metrics.jsonl") in done.stdout
    assert list(range(200)) == steps_in_folder(tmp_path / "run")


def test_a_clock_that_jumps_doubles_and_drops_nothing(
    tracking: MlflowTracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten years back and forth between steps, and two steps in one millisecond: a point is known
    by its step too."""
    now = 1_700_000_000_000_000_000
    clock = iter([now, now, now - 10**17, now + 10**17, now])
    monkeypatch.setattr(time, "time_ns", lambda: next(clock, now))
    with tracking.build(tmp_path / "run", "a") as run:
        for step in range(5):
            run.metrics({"reward/mean": float(step)}, step)
    assert [(step, float(step)) for step in range(5)] == sorted(history(tracking, run.run_id))
    found = prepare_store(tracking).client.get_run(str(run.run_id))
    assert 4.0 == found.data.metrics["reward/mean"]  # the last step's, whatever its time


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(folder: Path, port: int) -> Iterator[None]:
    """A real tracking server on loopback, with its runs in `folder`."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder / "kept")]
    environment = {
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    log = folder / "server.log"
    with log.open("a") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=environment, start_new_session=True
        )
    try:
        deadline = time.monotonic() + STARTING_S
        while not answers(port):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as reply:
            return bool(reply.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def test_a_server_that_is_away_gets_each_point_once_in_order(
    template: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Killed in the middle of a run and started again: points, tags and a table arrive, and the
    run ends FINISHED. No step waits for the server."""
    (tmp_path / "mlflow.db").write_bytes(template.read_bytes())
    port = free_port()
    tracking = MlflowTracking(
        store=f"http://127.0.0.1:{port}", folder=str(tmp_path / "mlruns"), experiment="away"
    )
    slowest = 0.0

    def steps(run: Any, first: int, last: int) -> None:
        nonlocal slowest
        for step in range(first, last):
            began = time.monotonic()
            run.metrics({"reward/mean": float(step)}, step)
            slowest = max(slowest, time.monotonic() - began)

    # Opened and closed by hand, because the server ends and comes back within the run.
    first = server(tmp_path, port)
    first.__enter__()
    run = tracking.build(tmp_path / "run", "a")
    try:
        run.__enter__()
        steps(run, 0, 20)
    finally:
        first.__exit__(None, None, None)
    steps(run, 20, 40)
    run.tags({"seen": "while it was away"})
    run.table("summaries", [{"text": "kept"}])
    deadline = time.monotonic() + 60
    while "takes no writes" not in caplog.text and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "takes no writes" in caplog.text
    with server(tmp_path, port):
        steps(run, 40, 60)
        run.__exit__(None, None, None)
        assert [(step, float(step)) for step in range(60)] == history(tracking, run.run_id)
        found = prepare_store(tracking).client.get_run(str(run.run_id))
        assert ("FINISHED", "while it was away") == (found.info.status, found.data.tags["seen"])
        table = prepare_store(tracking).client.download_artifacts(
            str(run.run_id), "tables/summaries.json", str(tmp_path)
        )
        assert [["kept"]] == json.loads(Path(table).read_text())["data"]
    assert slowest < 1.0


def test_a_request_has_a_limit_and_few_repetitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a minute and two repetitions, in place of two minutes and seven: what is not taken
    goes again anyway. A user's own values stand."""
    from mlflow.environment_variables import (
        MLFLOW_HTTP_REQUEST_MAX_RETRIES,
        MLFLOW_HTTP_REQUEST_TIMEOUT,
    )

    for variable in (MLFLOW_HTTP_REQUEST_MAX_RETRIES, MLFLOW_HTTP_REQUEST_TIMEOUT):
        monkeypatch.setenv(variable.name, "1")  # so that the test's end undoes what follows
        monkeypatch.delenv(variable.name)
    load_mlflow()
    assert (30, 2) == (MLFLOW_HTTP_REQUEST_TIMEOUT.get(), MLFLOW_HTTP_REQUEST_MAX_RETRIES.get())
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    load_mlflow()
    assert 5 == MLFLOW_HTTP_REQUEST_TIMEOUT.get()
