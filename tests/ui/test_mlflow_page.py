"""A sweep's runs on MLflow's own page, where a report and a sweep send people."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from written_runs import write_run

from tersely.tracking import MlflowTracking
from tersely.tracking.store import compare_url, prepare_store

PATIENCE = 90.0
"""Seconds that the UI may take to answer."""


@pytest.fixture(scope="module")
def compare_page(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address at which `mlflow ui` compares two runs of a store."""
    folder = tmp_path_factory.mktemp("mlflow")
    tracking = MlflowTracking(folder=str(folder / "mlruns"))
    ids = [
        write_run(folder / reward, [0.5, 0.6], reward=reward, tracking=tracking)
        for reward in ("rouge", "length")
    ]
    experiment = prepare_store(tracking).experiment_id
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "ui", "--workers", "1", "--host", "127.0.0.1"]
    store = f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}"
    switches = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "ui.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--port", str(port), "--backend-store-uri", store],
            env={**os.environ, **switches},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(address, folder / "ui.log")
        yield compare_url(address, experiment, [id for id in ids if id])
    finally:
        server.terminate()
        server.wait(timeout=30)


def wait_for(address: str, log: Path) -> None:
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=2).close()
            return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"mlflow ui does not answer:\n{log.read_text()}")


def test_the_compare_page_shows_a_sweep_s_runs(opened: Any, compare_page: str, shots: Path) -> None:
    """Both by name, with the parameter that they differ in and a metric that both have."""
    page = opened(compare_page)
    for text in ("rouge joint seed 0", "length joint seed 0", "reward/mean"):
        page.get_by_text(text).first.wait_for(timeout=60_000)
    page.screenshot(path=shots / "mlflow-compare.png", full_page=True)
