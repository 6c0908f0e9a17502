"""`docs/reliability.md` promises nothing that no test shows."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)))
ROWS = [line for line in TEXT.splitlines() if re.match(r"\| (?!Fault)[^-]", line)]


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name for _, name in NAMED])
def test_a_test_that_is_named_exists(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    functions = {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}
    assert name in functions


def test_every_fault_has_one() -> None:
    """Four columns, the last of which names a test."""
    assert 25 < len(ROWS)
    for row in ROWS:
        fault, happens, _, tests = (cell.strip() for cell in row.strip().strip("|").split("|"))
        assert fault and happens, row
        assert re.fullmatch(r"(`tests/[\w/]+\.py::\w+`,? ?)+", tests), row
