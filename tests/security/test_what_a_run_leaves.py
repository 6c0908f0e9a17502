"""A sweep, an evaluation and a report in an environment full of secrets, on hostile posts."""

import csv
import os
import sqlite3
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hostile import IDS, NASTY, SECRET, Left, start


def test_secrets_of_the_environment_are_in_nothing(left: Left) -> None:
    """Not in a configuration, tag, parameter, log, table, report, database or output."""
    assert SECRET not in left.said
    holding = [file for file in left.files if SECRET.encode() in file.read_bytes()]
    assert [] == holding
    for what in ("mlflow.db", "config.yaml", "tags.json", "train.log", "report.html"):
        assert any(file.name == what for file in left.files), what


def test_nothing_is_written_anywhere_else(left: Left) -> None:
    """Ids that are paths lead nowhere: what is new is below two folders, and no file is called
    as a post is."""
    assert {"here", "posts"} == {each.name for each in left.folder.iterdir()}
    assert {"multirun", "mlruns"} == {each.name for each in left.here.iterdir()}
    assert not [file for file in left.files if "outside" in str(file)]
    assert not Path("/tmp/outside").exists()
    assert not (left.folder.parent / "outside").exists()


class Tags(HTMLParser):
    """Elements of a page, and what in it would run."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.running: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        for name, value in attrs:
            if name.startswith("on") or "javascript:" in (value or "") or name == "srcdoc":
                self.running.append(f"{tag} {name}={value}")


def test_the_report_has_no_element_of_a_post(left: Left) -> None:
    """Its two scripts (the data and the page's own), and nothing that a post asks for."""
    tags = Tags()
    page = left.here / "multirun" / "night" / "report" / "report.html"
    tags.feed(page.read_text(encoding="utf-8"))
    assert [] == tags.running
    assert 2 == tags.elements.count("script")
    assert not {"img", "iframe", "object", "embed", "form", "base", "link"} & set(tags.elements)


def test_no_cell_is_a_formula(left: Left) -> None:
    """And each text is there, behind an apostrophe where a spreadsheet would compute it."""
    (file,) = left.here.glob("multirun/night/report/summaries.csv")
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    cells = [row[name] for row in rows for name in ("id", "configuration", "summary", "reference")]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    ids = {row["id"] for row in rows}
    assert {f"'{name}test" if name.startswith("=") else f"{name}test" for name in IDS} == ids
    assert any(row["post"].startswith(f"'{NASTY[2][:12]}") for row in rows)


def test_the_store_has_its_tables_and_the_posts_as_they_are(left: Left) -> None:
    """What looks like SQL was a value."""
    with closing(sqlite3.connect(left.here / "mlruns" / "mlflow.db")) as database:
        assert database.execute("SELECT COUNT(*) FROM metrics").fetchone()[0] > 0
    tables = left.here.glob("multirun/night/*/tables/summaries_after.jsonl")
    assert [True, True] == ["DROP TABLE" in table.read_text("utf-8") for table in tables]


@pytest.mark.parametrize(
    "arguments",
    [
        (f"tracking.store=http://me:{SECRET}@127.0.0.1:1",),
        (f"tracking.store='http://127.0.0.1:1/?token={SECRET}'",),
        (f"judge.api_key={SECRET}",),
        (f"+judge.api_key={SECRET}",),
        ("-m", "seed=1,2", f"+hydra.job.env_set.OPENAI_API_KEY={SECRET}"),
        (f"rollout=vllm rollout.workers=[http://x:{SECRET}@127.0.0.1:1]".split()),
    ],
    ids=["store", "query", "key", "added key", "environment", "worker"],
)
def test_a_secret_that_is_typed_is_refused_and_leaves_nothing(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = start(tmp_path, "train.py", *arguments)
    assert 2 == done.returncode, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert [] == os.listdir(tmp_path)
