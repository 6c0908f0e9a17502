"""The report on the study's own numbers."""

import json
from pathlib import Path

import pytest

from tersely.analysis.config import ReportConfig
from tersely.analysis.report import make_report
from tersely.tracking import NoTracking


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    config = ReportConfig(published=True, output=str(folder), tracking=NoTracking())
    return make_report(config)


def test_what_the_study_s_numbers_say_together(published: Path) -> None:
    """17 of the 19 below 0.05 survive Holm, n can show 0.147, and lengths tell the rest."""
    text = (published / "report.md").read_text()
    assert "Of the study's 24 comparisons with length-only 19 have p below 0.05, and 17" in text
    assert "show a composite difference of 0.147 with 80 % power" in text
    assert "r = 0.935 (LFM-2.5-350M) and 0.987 (Qwen2.5-0.5B)" in text
    minus = "\N{MINUS SIGN}"
    assert f"r = {minus}0.974 (LFM-2.5-350M) and {minus}0.991 (Qwen2.5-0.5B)" in text


def test_all_of_them_are_in_the_tables(published: Path) -> None:
    """24 comparisons, 26 runs, 4 zero-shot prompts; the page and the JSON are there too."""
    numbers = json.loads((published / "report.json").read_text())
    assert (24, 26, 4) == tuple(len(numbers[k]) for k in ("holm", "runs", "zero_shot"))
    assert 17 == sum(each["survives"] for each in numbers["holm"].values())
    page = (published / "report.html").read_text()
    assert all(each["model"] in page for each in numbers["runs"])
    assert (published / "figures" / "published-lengths.png").exists()
    assert not (published / "summaries.csv").exists()
