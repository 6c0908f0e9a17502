"""The entry scripts as a person types them, and what they leave in MLflow."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def command(script: str, folder: Path, *arguments: str, code: int = 0) -> str:
    """Run a script in `folder` and return all that it said; it must end with `code`."""
    environment = {name: value for name, value in os.environ.items() if "TERSELY" not in name}
    done = subprocess.run(
        [sys.executable, str(ROOT / script), *arguments],
        cwd=folder,
        env={**environment, "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    said = done.stdout + done.stderr
    assert code == done.returncode, said
    return said


def mlflow_runs(folder: Path) -> list[Any]:
    """The MLflow runs that commands left in `folder`, the newest first."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tersely")
    return list(client.search_runs([experiment.experiment_id]))
