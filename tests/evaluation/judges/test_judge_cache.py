"""Replies on disk: they come back, and what is damaged does not."""

import sqlite3
from pathlib import Path

import pytest

from tersely.errors import JudgeError
from tersely.evaluation.judges.cache import FILE, Cache, Score, cache_key

SCORES = {"clarity": Score(0.5, "why")}
METRICS = ("clarity",)


def test_scores_come_back_after_the_end_of_the_process(tmp_path: Path) -> None:
    with Cache(tmp_path / "deep" / "er") as cache:
        cache.put("key", SCORES)
    with Cache(tmp_path / "deep" / "er") as cache:
        assert SCORES == cache.get("key", METRICS)
        assert None is cache.get("other", METRICS)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        '{"clarity": [0.5, "wh',
        '{"clarity": [7.0, "why"]}',
        '{"clarity": [NaN, "why"]}',
        '{"clarity": [null, "why"]}',
        '{"clarity": 0.5}',
        '{"coverage": [0.5, "why"]}',
        "[]",
        b"\xff\xfe",
    ],
)
def test_a_damaged_entry_counts_as_absent(
    entry: str | bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It can be put again."""
    with Cache(tmp_path) as cache:
        cache.put("key", SCORES)
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute("UPDATE replies SET scores = ?", (entry,))
    database.close()
    with Cache(tmp_path) as cache:
        assert None is cache.get("key", METRICS)
        cache.put("key", SCORES)
        assert SCORES == cache.get("key", METRICS)
    assert "1 entries were damaged" in caplog.text


def test_a_file_that_is_no_database_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("something else " * 1000)
    with Cache(tmp_path) as cache:
        cache.put("key", SCORES)
        assert SCORES == cache.get("key", METRICS)
    assert (tmp_path / "verdicts.damaged").read_text().startswith("something else")


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JudgeError, match="cache_folder"), Cache(tmp_path / "file"):
        pass


def test_two_evaluations_at_once_share_it(tmp_path: Path) -> None:
    with Cache(tmp_path) as one, Cache(tmp_path) as other:
        one.put("a", SCORES)
        other.put("b", SCORES)
        assert SCORES == other.get("a", METRICS) == one.get("b", METRICS)


def test_a_key_depends_on_every_part() -> None:
    parts: dict[str, object] = {"post": "ab", "summary": "c", "round": 0}
    others = [{"post": "a", "summary": "bc"}, {"round": 1}, {"summary": "d"}, {"round": None}]
    assert 5 == len({cache_key(**parts), *(cache_key(**(parts | other)) for other in others)})
    assert cache_key(**parts) == cache_key(**dict(reversed(parts.items())))
