"""A store a test: one database is made for the whole session (seconds) and copied."""

import shutil
from pathlib import Path

import pytest

from tersely.tracking import MlflowTracking
from tersely.tracking.store import prepare_store


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables and no experiment that a test would use."""
    folder = tmp_path_factory.mktemp("template")
    prepare_store(MlflowTracking(folder=str(folder), experiment="template"))
    return folder / "mlflow.db"


@pytest.fixture
def tracking(template: Path, tmp_path: Path) -> MlflowTracking:
    """The default tracking, with its store in the test's own folder."""
    folder = tmp_path / "mlruns"
    folder.mkdir()
    shutil.copyfile(template, folder / "mlflow.db")
    return MlflowTracking(folder=str(folder))
