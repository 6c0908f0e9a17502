"""A request to stop, kept until a step is done."""

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from tersely.errors import RunStopped

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)

ONE_REQUEST_S = 0.2
"""Seconds. `timeout` sends its signal to the command and, at once, to the group it is in."""


class Stop:
    """Whether somebody wants the run to end after this step."""

    def __init__(self) -> None:
        self.number: int | None = None
        """The signal that asked for it."""

    @property
    def requested(self) -> bool:
        return self.number is not None

    def raise_stopped(self, what_is_kept: str | None) -> NoReturn:
        """Raise `RunStopped`, for the signal that came; None says nothing of what is kept."""
        assert self.number is not None
        raise RunStopped(what_is_kept or "", self.number)


@contextmanager
def between_steps() -> Iterator[Stop]:
    """Within it the first SIGINT or SIGTERM is a request, and one that comes more than
    `ONE_REQUEST_S` later does what it did before; a signal that is ignored stays so. In another
    thread than the main one, which gets no signals, nothing changes."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in [n for n, handler in before.items() if handler in (signal.SIG_IGN, None)]:
        del before[number]
    asked_at = 0.0

    def request(number: int, frame: FrameType | None) -> None:
        nonlocal asked_at
        if stop.requested:
            if time.monotonic() - asked_at > ONE_REQUEST_S:
                restore()
                signal.raise_signal(number)
            return
        stop.number, asked_at = number, time.monotonic()
        log.warning(
            "%s: this step is finished and a checkpoint written first; once more stops at once",
            signal.Signals(number).name,
        )

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, request)
    try:
        yield stop
    finally:
        restore()
