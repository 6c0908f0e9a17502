"""A clock that jumps shortens no wait and orders nothing."""

import ast
from pathlib import Path

import pytest
from imported_names import full_names, named

SOURCE = Path(__file__).parents[2] / "src" / "tersely"
SHOWN = {
    "evaluation/judges/failures.py": "a date after which a judge wants to be asked",
    "sweep/names.py": "a sweep's name",
    "analysis/report.py": "a report's name",
    "tracking/folder_run.py": "when a point was measured",
    "rollout/vllm/serving/worker_side/fetching.py": "which fetched weights are the oldest",
}
"""Where the time of day is asked for, and for what."""
TIME_OF_DAY = {
    *(f"time.{name}" for name in ("time", "time_ns", "ctime", "localtime", "gmtime", "strftime")),
    *(f"datetime.datetime.{name}" for name in ("now", "today", "utcnow")),
    "datetime.date.today",
    *(f"os.path.get{which}time" for which in "acm"),
}
OF_FILES = {f"st_{which}time{unit}" for which in "acm" for unit in ("", "_ns")}
"""When a file was changed, by the same clock."""


def asks_for_the_time(source: str) -> bool:
    tree = ast.parse(source)
    names = full_names(tree)
    return any(
        named(node, names) in TIME_OF_DAY
        or (isinstance(node, ast.Attribute) and node.attr in OF_FILES)
        for node in ast.walk(tree)
    )


def test_the_time_of_day_is_asked_only_where_it_is_shown() -> None:
    """All else that measures time uses clocks that nobody can set."""
    found = {
        file.relative_to(SOURCE).as_posix()
        for file in SOURCE.rglob("*.py")
        if asks_for_the_time(file.read_text(encoding="utf-8"))
    }
    assert set(SHOWN) == found


@pytest.mark.parametrize(
    "source",
    [
        "import time; time.time()",
        "from time import time; time()",
        "from time import time_ns as now; now()",
        "import time as clock; clock.time()",
        "from datetime import datetime as day; day.now()",
        "import datetime; datetime.datetime.now()",
        "path.stat().st_mtime",
        "import os; os.path.getmtime(path)",
    ],
)
def test_each_way_would_be_noticed(source: str) -> None:
    assert asks_for_the_time(source)
    assert not asks_for_the_time("import time; time.monotonic()")
