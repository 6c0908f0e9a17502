"""What tests of reports stand on."""

import shutil
from pathlib import Path

import pytest

from tersely.tracking import MlflowTracking
from tersely.tracking.store import prepare_store


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables; making one takes seconds."""
    folder = tmp_path_factory.mktemp("store")
    prepare_store(MlflowTracking(folder=str(folder), experiment="empty"))
    return folder / "mlflow.db"


@pytest.fixture
def tracking(empty_store: Path, tmp_path: Path) -> MlflowTracking:
    """A store of the test's own."""
    folder = tmp_path / "mlruns"
    folder.mkdir()
    shutil.copyfile(empty_store, folder / "mlflow.db")
    return MlflowTracking(folder=str(folder))
