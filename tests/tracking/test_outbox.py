"""Writes that wait: nothing is lost, nothing blocks, one bad write does not hold up the rest."""

import logging
import threading
import time
from collections.abc import Sequence

import pytest

from tersely.tracking import outbox as module
from tersely.tracking.outbox import BATCH, Outbox, Point, brief


def points(count: int) -> list[Point]:
    return [Point("reward/mean", float(step), step, 1_000 + step) for step in range(count)]


def test_points_arrive_in_order_and_in_batches() -> None:
    """2,500 points are three calls: 1000, 1000 and 500."""
    calls: list[Sequence[Point]] = []
    outbox = Outbox(calls.append)
    outbox.add_points(points(2_500))
    assert outbox.close() is None
    assert [BATCH, BATCH, 500] == [len(call) for call in calls]
    assert points(2_500) == [point for call in calls for point in call]


def test_points_are_sent_while_the_run_goes_on() -> None:
    """Nobody has to call: the thread sends what waits."""
    arrived = threading.Event()
    outbox = Outbox(lambda batch: arrived.set(), seconds=0.01)
    outbox.add_points(points(1))
    assert arrived.wait(5)
    assert outbox.close() is None


def test_a_failed_send_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """Two refusals, then all points arrive once; the log says both."""
    arrived: list[Point] = []
    refusals = iter([True, True])

    def send(batch: Sequence[Point]) -> None:
        if next(refusals, False):
            raise OSError("locked")
        arrived.extend(batch)

    with caplog.at_level(logging.INFO):
        outbox = Outbox(send, seconds=0.01)
        outbox.add_points(points(3))
        deadline = time.monotonic() + 5
        while not arrived and time.monotonic() < deadline:
            time.sleep(0.01)
        assert outbox.close() is None
    assert points(3) == arrived
    assert [
        "the run store takes no writes (locked); they wait and are sent again",
        "the run store takes writes again; nothing was lost",
    ] == [record.getMessage() for record in caplog.records]


def test_what_never_arrives_is_told_at_the_end() -> None:
    """The errands by name, the points by number, the reason once."""

    def fail(*_: object) -> None:
        raise OSError("disk full")

    outbox = Outbox(fail)
    outbox.add_points(points(3))
    outbox.add("the table summaries", fail)
    assert "3 metric points, the table summaries (disk full)" == outbox.close()


def test_a_bad_errand_does_not_hold_up_the_others() -> None:
    """The second errand is done although the first one always fails."""
    done: list[str] = []

    def fail() -> None:
        raise ValueError("bad")

    outbox = Outbox(lambda batch: None)
    outbox.add("the first", fail)
    outbox.add("the second", lambda: done.append("second"))
    assert "the first (bad)" == outbox.close()
    assert ["second"] == done


def test_the_reason_is_one_line() -> None:
    """Of what SQLAlchemy says, the line that SQLite said."""
    said = (
        "(raised as a result of Query-invoked autoflush; ...)\n"
        "(sqlite3.OperationalError) database is locked\n[SQL: INSERT ...]\n(Background on ...)"
    )
    assert "(sqlite3.OperationalError) database is locked" == brief(OSError(said))
    assert "TimeoutError" == brief(TimeoutError())


def test_what_waits_for_hours_is_bounded_in_memory_and_arrives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten points fit and 25 come while the store is away: 15 are left to the file. When it is back
    the ten arrive, then the file's 25, then those that came since."""
    monkeypatch.setattr(module, "MOST", 10)
    file: list[Point] = []
    arrived: list[Point] = []
    away = threading.Event()
    away.set()

    def send(batch: Sequence[Point]) -> None:
        if away.is_set():
            raise OSError("no route to host")
        arrived.extend(batch)

    outbox = Outbox(send, seconds=60, kept=lambda: list(file))
    for point in points(25):
        file.append(point)
        outbox.add_points([point])
    assert points(10) == outbox._points
    assert 15 == outbox._left_out
    away.clear()
    outbox._flush()
    assert points(10) + points(25) == arrived
    outbox.add_points([Point("late", 0.0, 26, 0)])
    assert outbox.close() is None
    assert ["late"] == [point.key for point in arrived[35:]]


def test_points_that_are_read_again_are_not_forgotten_by_a_second_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two fit, of five; the store dies again while the file's are sent: 3 are still counted."""
    monkeypatch.setattr(module, "MOST", 2)
    calls: list[Sequence[Point]] = []

    def send(batch: Sequence[Point]) -> None:
        calls.append(batch)
        if len(calls) > 1:
            raise OSError("disk full")

    outbox = Outbox(send, seconds=60, kept=lambda: points(5))
    outbox.add_points(points(5))
    assert "3 metric points (disk full)" == outbox.close()


def test_an_older_tag_does_not_overwrite_a_newer_one() -> None:
    """The first write fails once. The second of that name waits for it; another name does not."""
    done: list[str] = []
    refusals = iter([True])

    def first() -> None:
        if next(refusals, False):
            raise OSError("locked")
        done.append("old")

    outbox = Outbox(lambda batch: None, seconds=60)
    outbox.add("tags", first)
    outbox.add("tags", lambda: done.append("new"))
    outbox.add("a table", lambda: done.append("table"))
    outbox._flush()
    assert ["table"] == done
    assert outbox.close() is None
    assert ["table", "old", "new"] == done


def test_a_bad_tag_does_not_hold_up_the_good_ones_for_ever() -> None:
    """At the end nothing can be overtaken any more, so what can be written is."""
    done: list[str] = []

    def fail() -> None:
        raise ValueError("too long")

    outbox = Outbox(lambda batch: None, seconds=60)
    outbox.add("tags", fail)
    outbox.add("tags", lambda: done.append("good"))
    assert "tags (too long)" == outbox.close()
    assert ["good"] == done
