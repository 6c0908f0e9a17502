"""What the site does with Markdown that is written for GitHub too."""

import logging
from pathlib import Path

import pytest
from repository_links import without_links_out
from written_for_github import faults

DOCS = Path(__file__).parents[2] / "docs"


def test_a_link_out_of_the_docs_is_its_text() -> None:
    text = "See [`train.py`](../train.py), [the table](../README.md#tests) and [b](metrics.md#a)."
    assert "See `train.py`, the table and [b](metrics.md#a)." == without_links_out(
        text, DOCS / "checks.md", DOCS
    )


def test_one_that_stays_within_them_is_left(caplog: pytest.LogCaptureFixture) -> None:
    """From a folder of docs/ one level up is still within."""
    text = "[Checks](../checks.md) and [out](../../train.py)"
    kept = without_links_out(text, DOCS / "adding" / "a-reward.md", DOCS)
    assert "[Checks](../checks.md) and out" == kept
    assert [] == caplog.records


def test_one_that_leads_nowhere_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """mkdocs counts what is logged below its own name; strict, it builds nothing then."""
    without_links_out("[gone](../gone.py)", DOCS / "checks.md", DOCS)
    (said,) = caplog.records
    assert ("mkdocs.hooks.repository_links", logging.WARNING) == (said.name, said.levelno)
    assert "checks.md has a link to ../gone.py: no such file" == said.getMessage()


@pytest.mark.parametrize(
    ("markdown", "where"),
    [
        ("Text.\n- item", [2]),
        ("Text.\n\n- item\n- item", []),
        ("- item\ngoes on\n- item", []),
        ("# Head\n- item", []),
        ("Text.\n1. item", [2]),
        ("- item\n  - below", [2]),
        ("- item\n    - below", []),
        ("Text.\n| a |\n|---|", [2]),
        ("Text.\n\n| a |\n|---|", []),
        ("```\nText.\n- no item\n| no table |\n```\nText.", []),
        ("1. item\n2.\nits text\n\n-", [2, 5]),
        ("2026 - a year\n\n-5 is no item, nor is *this*", []),
    ],
)
def test_lists_and_tables_that_only_github_takes_for_such(markdown: str, where: list[int]) -> None:
    assert where == [line for line, _ in faults(markdown)]
