"""What a signal asks of a run that trains."""

import logging
import signal
import time
from collections.abc import Iterator

import pytest

from tersely.training.stopping import between_steps


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """What came to the handler that was there before."""
    numbers: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: numbers.append(number))
    yield numbers
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("one_request_s", "expected"), [(600.0, []), (0.0, [signal.SIGTERM])], ids=["at once", "later"]
)
def test_a_signal_that_is_repeated_at_once_is_one_request(
    heard: list[int],
    one_request_s: float,
    expected: list[int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As `timeout` sends it, and a later one does what it did before."""
    monkeypatch.setattr("tersely.training.stopping.ONE_REQUEST_S", one_request_s)
    with caplog.at_level(logging.WARNING), between_steps() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.requested
        assert [] == heard
        time.sleep(0.001)  # a clock's tick
        signal.raise_signal(signal.SIGTERM)
    assert expected == heard
    assert 1 == len(caplog.records)


def test_a_later_signal_of_the_other_kind_counts_too(
    heard: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM after Ctrl-C stops at once."""
    monkeypatch.setattr("tersely.training.stopping.ONE_REQUEST_S", 0.0)
    with between_steps() as stop:
        signal.raise_signal(signal.SIGINT)
        assert signal.SIGINT == stop.number
        time.sleep(0.001)
        signal.raise_signal(signal.SIGTERM)
    assert [signal.SIGTERM] == heard


def test_handlers_are_as_before_afterwards(heard: list[int]) -> None:
    """Whether a signal came or not."""
    with between_steps():
        signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    assert [signal.SIGTERM] == heard
    assert signal.default_int_handler is signal.getsignal(signal.SIGINT)
