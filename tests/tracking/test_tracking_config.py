"""The choices of the group `tracking`."""

from pathlib import Path

import pytest

from tersely.errors import ConfigError
from tersely.tracking import MlflowTracking, NoTracking
from tersely.tracking.folder_run import FolderRun
from tersely.tracking.mlflow_run import MlflowRun


def test_a_choice_builds_its_tracker(tmp_path: Path) -> None:
    """Both choices build without touching the disk."""
    assert isinstance(NoTracking().build(tmp_path / "run", "a"), FolderRun)
    assert isinstance(MlflowTracking().build(tmp_path / "run", "a"), MlflowRun)
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"folder": " "}, ["tracking.folder", "mlruns"]),
        ({"experiment": ""}, ["tracking.experiment", "tersely"]),
        ({"store": "file:///runs"}, ["tracking.store", "tracking=none"]),
        ({"store": "runs/mlflow.db"}, ["tracking.store", "sqlite:///"]),
    ],
)
def test_a_wrong_value_is_named(values: dict[str, str], words: list[str]) -> None:
    """The message has the key, the value and the way out."""
    with pytest.raises(ConfigError) as caught:
        MlflowTracking(**values)
    assert all(word in str(caught.value) for word in words)


def test_none_has_no_store_to_show() -> None:
    """Without a store there is nothing to open in a browser."""
    assert NoTracking().compare_url(["a"]) is None
    assert NoTracking().ui_command() is None
