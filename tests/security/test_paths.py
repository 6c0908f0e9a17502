"""Names from elsewhere are no paths."""

import json
from pathlib import Path
from typing import Any

import pytest

from tersely.errors import DataError
from tersely.tracking import MlflowTracking
from tersely.tracking.stored_runs import RunStore, StoredRun


class Listing:
    """A store's client that lists one table by a name of its choice."""

    def __init__(self, name: str, text: str) -> None:
        self._name, self._text = name, text

    def list_artifacts(self, run_id: str, folder: str) -> list[Any]:
        class Artifact:
            path, is_dir = self._name, False

        return [Artifact]

    def download_artifacts(self, run_id: str, path: str, into: str) -> str:
        file = Path(into) / "downloaded.json"
        file.write_text(self._text)
        return str(file)


def store(name: str, text: str = '{"columns": ["a"], "data": [[1]]}') -> RunStore:
    made = RunStore.__new__(RunStore)
    made._uri = "http://127.0.0.1:5000"
    client: Any = Listing(name, text)
    made._client = client
    return made


RUN = StoredRun("0" * 32, {}, {}, ())


@pytest.mark.parametrize("name", ["../outside.json", "tables/../../outside.json", "/outside.json"])
def test_a_table_whose_name_leads_out_of_the_run_is_refused(tmp_path: Path, name: str) -> None:
    """A tracking server may be somebody else's."""
    with pytest.raises(DataError, match="leads out of the run"):
        store(name).fetch(RUN, tmp_path / "run")
    assert ["run"] == [each.name for each in tmp_path.iterdir()]


@pytest.mark.parametrize("name", ["../../outside", "/outside", "..", ""])
def test_a_run_whose_id_is_a_path_is_refused(tmp_path: Path, name: str) -> None:
    """It would be the name of a folder here."""
    run = StoredRun(name, {}, {}, ())
    with pytest.raises(DataError, match="is no id of a run"):
        store("tables/a.json").fetch(run, tmp_path / "run")
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text", ["", "[]", '{"columns": ["a"]}', '{"columns": ["a"], "data": [[1, 2]]}', "\x00"]
)
def test_a_table_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"tables/a\.json of the run 0+ .* cannot be read back"):
        store("tables/a.json", text).fetch(RUN, tmp_path / "run")


def test_a_table_is_read(tmp_path: Path) -> None:
    folder = store("tables/a.json").fetch(RUN, tmp_path / "run")
    assert {"a": 1} == json.loads((folder / "tables" / "a.jsonl").read_text())


def test_a_store_is_opened_by_its_address(tmp_path: Path) -> None:
    """The real one, which the tests above have no need for."""
    with pytest.raises(DataError, match="neither a run's folder nor a run"):
        RunStore(MlflowTracking(folder=str(tmp_path))).run("../../outside")
