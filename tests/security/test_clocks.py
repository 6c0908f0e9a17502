"""A clock that jumps shortens no wait and orders nothing."""

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "tersely"
SHOWN = {
    "evaluation/judges/failures.py": "a date after which a judge wants to be asked",
    "sweep/names.py": "a sweep's name",
    "analysis/report.py": "a report's name",
    "tracking/folder_run.py": "when a point was measured",
}
"""Where the time of day is asked for, and for what."""
TIME_OF_DAY = {
    *(("time", name) for name in ("time", "time_ns", "ctime", "localtime", "gmtime", "strftime")),
    *(("datetime", name) for name in ("now", "today", "utcnow")),
    ("date", "today"),
}


def asks_for_the_time(file: Path) -> bool:
    return any(
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in TIME_OF_DAY
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    )


def test_the_time_of_day_is_asked_only_where_it_is_shown() -> None:
    """All else that measures time uses clocks that nobody can set."""
    found = {
        file.relative_to(SOURCE).as_posix()
        for file in SOURCE.rglob("*.py")
        if asks_for_the_time(file)
    }
    assert set(SHOWN) == found
