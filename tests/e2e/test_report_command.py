"""`python report.py`, as a person types it."""

import json
from pathlib import Path

from commands import command
from written_runs import write_run

from tersely.tracking import MlflowTracking

ROOT = Path(__file__).parents[2]


def report(folder: Path, *arguments: str, code: int = 0) -> str:
    """Run report.py in `folder` and return all that it said; it must end with `code`."""
    return command("report.py", folder, *arguments, code=code)


def test_a_sweep_by_its_name(tmp_path: Path) -> None:
    """The headline is said, the files are where it says, and it is kept in MLflow."""
    sweep = tmp_path / "multirun" / "night"
    write_run(sweep / "a", [0.5, 0.6, 0.8])
    write_run(sweep / "b", [0.4, 0.4, 0.5], reward="length")
    said = report(tmp_path, "sweep=night")
    assert "rouge joint does not differ detectably from length joint in composite" in said
    assert "multirun/night/report/report.html" in said
    assert "in MLflow (" in said
    numbers = json.loads((sweep / "report" / "report.json").read_text())
    assert ["length joint", "rouge joint"] == [each["name"] for each in numbers["configurations"]]
    assert {"multirun", "mlruns"} == {path.name for path in tmp_path.iterdir()}


def test_an_experiment_by_its_name(tmp_path: Path) -> None:
    """Not taken for a preset of train.py, which are called experiments too. The report is kept in
    that experiment, and is no run of the next one."""
    tracking = MlflowTracking(folder=str(tmp_path / "mlruns"), experiment="mine")
    write_run(tmp_path / "a", [0.5, 0.6, 0.8], tracking=tracking)
    write_run(tmp_path / "b", [0.4, 0.4, 0.5], reward="length", tracking=tracking)
    for _ in range(2):
        said = report(tmp_path, "experiment=mine")
        assert "rouge joint does not differ detectably from length joint" in said
    folder = tmp_path / "multirun" / "reports" / "mine"
    assert 2 == len(json.loads((folder / "report.json").read_text())["runs"])


def test_the_published_numbers_by_one_word(tmp_path: Path) -> None:
    """No run is needed."""
    said = report(tmp_path, "published", "tracking=none")
    assert "17 of those are left" in said
    assert (tmp_path / "multirun" / "reports" / "published" / "report.html").exists()


def test_a_mistake_is_a_paragraph(tmp_path: Path) -> None:
    """Nothing asked for, a sweep that is not there, a baseline that is not."""
    assert "a report is on one set of runs" in report(tmp_path, code=2)
    assert "there is no sweep day" in report(tmp_path, "sweep=day", "tracking=none", code=2)
    write_run(tmp_path / "a", [0.5, 0.6, 0.8], before=[0.1, 0.2, 0.3])
    said = report(tmp_path, "runs=[a]", "baseline=b", "tracking=none", code=2)
    assert "baseline=b names no configuration" in " ".join(said.split())
    assert "Traceback" not in said


def test_help_says_how_to_ask(tmp_path: Path) -> None:
    """In the words that one types."""
    said = report(tmp_path, "--help")
    for words in ("sweep=NAME", "runs=[", "experiment=NAME", "report.py published", "baseline"):
        assert words in said
