"""What a person sees of a stage, and what the tracker gets."""

import io
import logging
import sys
import time
from collections.abc import Mapping
from typing import Any

import pytest

from tersely import progress
from tersely.progress import Progress
from tersely.training.progress import StageProgress


class Kept:
    """A tracker that keeps metrics."""

    def __init__(self) -> None:
        self.metrics_of: dict[int, Mapping[str, float]] = {}

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        self.metrics_of[step] = values


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


def of_step(step: int) -> dict[str, float]:
    return {
        "reward/mean": -0.5 + step / 10,
        "length/mean": 70.4 - step,
        "speed/tokens_per_second": 1234.5,
        "loss/total": float(step),
    }


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


@pytest.fixture
def no_terminal(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> io.StringIO:
    """Standard error as a file."""
    caplog.set_level(logging.INFO)
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    return file


def test_metrics_reach_the_tracker_on_one_axis(no_terminal: io.StringIO) -> None:
    """The second stage goes on counting where the first has stopped."""
    tracker: Any = Kept()
    for first_step, steps in ((0, 2), (2, 3)):
        with StageProgress("any", steps, tracker, first_step) as shown:
            for step in range(1, steps + 1):
                shown.step(step, of_step(step))

    assert [1, 2, 3, 4, 5] == list(tracker.metrics_of)
    assert of_step(2) == tracker.metrics_of[2]
    assert of_step(3) == tracker.metrics_of[5]


def test_without_a_terminal_a_line_comes_every_few_seconds(
    no_terminal: io.StringIO, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten steps of 2 seconds and LINE_EVERY 5: after steps 3, 6 and 9, and at the end.

    After 6 seconds and 3 steps of 10, 7 steps of 2 seconds are left.
    """
    clock = Clock(monkeypatch)
    tracker: Any = Kept()
    with StageProgress("length", 10, tracker, 0) as shown:
        for step in range(1, 11):
            clock.now += 2
            shown.step(step, of_step(step))

    said = lines(caplog)
    assert [f"length: step {step} of 10" for step in (3, 6, 9, 10)] == [
        line.partition(",")[0] for line in said
    ]
    assert "length: step 3 of 10, reward -0.200, length 67, tokens/s 1234, 14 s left" == said[0]
    assert said[-1].endswith(" 0 s left")
    assert "" == no_terminal.getvalue()


def test_the_time_that_is_left_is_by_the_steps_of_this_process(
    no_terminal: io.StringIO, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier one took 90 of 100 steps. 3 steps took 6 seconds, so 7 take 14, not 6/93 each."""
    clock = Clock(monkeypatch)
    tracker: Any = Kept()
    with StageProgress("length", 100, tracker, 0) as shown:
        for step in (91, 92, 93):
            clock.now += 2
            shown.step(step, of_step(step))
    (said,) = lines(caplog)
    assert said.startswith("length: step 93 of 100, ")
    assert said.endswith(" 14 s left")


def test_a_bar_begins_where_the_process_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """2 of 8 summaries were there: of the 10 seconds so far each of the other 2 took 5, so that
    the 4 that are left take 20."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr("tqdm.std.time", lambda: clock.now)
    clock = Clock(monkeypatch)
    with Progress("test split", 8, "summary") as shown:
        shown.begins_at(2)
        clock.now += 10
        shown.at(4)
    assert "4/8 [00:10<00:20" in terminal.getvalue()


def test_on_a_terminal_there_is_a_bar_and_no_lines(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    tracker: Any = Kept()

    with StageProgress("joint", 3, tracker, 0) as shown:
        for step in range(1, 4):
            shown.step(step, of_step(step))

    drawn = terminal.getvalue()
    assert [] == lines(caplog)
    for part in ("joint", "3/3", "reward=-0.200", "length=67", "tokens/s=1234"):
        assert part in drawn, part


def test_work_that_is_done_in_batches_moves_by_what_is_done(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Summaries come 64 at a time: the bar is told how many there are, not how many more."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress("test split", 200, "summary") as shown:
        for done in (64, 128, 192, 200):
            shown.at(done)
    assert "200/200" in terminal.getvalue()


def test_an_error_passes_through(no_terminal: io.StringIO) -> None:
    tracker: Any = Kept()
    with pytest.raises(ZeroDivisionError), StageProgress("any", 2, tracker, 0):
        raise ZeroDivisionError
