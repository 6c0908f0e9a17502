"""What pages quote of the project is there: tests by their names, warnings by their words."""

import re
from pathlib import Path

import pytest
from commands import ROOT
from docs.worked_example import blocks_of, files_of

DOCS = ROOT / "docs"
PAGES = [DOCS / "statistics.md", *sorted((DOCS / "adding").glob("*.md"))]
JOINED = re.compile(r'"\s*f?"')
"""Between the parts of a sentence that stands in several lines of code."""


@pytest.fixture(scope="module")
def tests() -> dict[Path, str]:
    """Every file of tests, with its text."""
    return {file: file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("*.py")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_tests_that_a_page_names_are_there(page: Path, tests: dict[Path, str]) -> None:
    """Functions, and files but for those that an example makes."""
    text = page.read_text(encoding="utf-8")
    made = files_of(blocks_of(page)) if page.parent.name == "adding" else []
    functions = set(re.findall(r"`(test_\w+)`", text))
    files = set(re.findall(r"`((?:tests/[\w/]+/)?\w+\.py)`", text)) & {
        name for name in re.findall(r"`([\w/]+\.py)`", text) if "test" in name
    }
    code = "\n".join(tests.values())
    assert [] == [name for name in sorted(functions) if f"def {name}(" not in code]
    names = {each for file in tests for each in (file.name, file.relative_to(ROOT).as_posix())}
    assert [] == [name for name in sorted(files) if name not in names and name not in made]
    assert functions | files


def test_warnings_are_told_by_words_that_they_have() -> None:
    text = (DOCS / "reading-the-report.md").read_text(encoding="utf-8")
    _, _, below = text.partition("| It says |")
    table, _, _ = below.partition("\n\n")
    told = re.findall(r"\*([^*]+)\*", "".join(row.split("|")[1] for row in table.splitlines()[2:]))
    code = (ROOT / "src/tersely/analysis/cautions.py").read_text(encoding="utf-8")
    assert 15 == len(told)
    assert [] == [words for words in told if words not in JOINED.sub("", code)]
