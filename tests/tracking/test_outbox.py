"""Writes that wait: nothing is lost, nothing blocks, one bad write does not hold up the rest."""

import logging
import threading
import time
from collections.abc import Sequence

import pytest

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
