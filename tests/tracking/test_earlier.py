"""Runs that have ended, found again by their folders."""

from pathlib import Path

import pytest
from written_runs import write_run

from tersely.errors import TrackingError
from tersely.tracking.earlier import find_in_folder


@pytest.mark.parametrize("file", ["params.json", "tags.json", "result.json"])
@pytest.mark.parametrize("text", ['{"seed": ', "[1]"])
def test_a_broken_file_is_named(tmp_path: Path, file: str, text: str) -> None:
    """Cut short, or not what a run writes."""
    write_run(tmp_path, [0.5])
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    assert "FINISHED" == find_in_folder(tmp_path).status
    (tmp_path / file).write_text(text)
    with pytest.raises(TrackingError, match=f"{tmp_path / file} cannot be read"):
        find_in_folder(tmp_path)
