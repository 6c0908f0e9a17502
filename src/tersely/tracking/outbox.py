"""Writes on their way to a store that may be busy.

MLflow waits up to 20 seconds for a locked SQLite file, and each call costs a transaction; a
thread of its own takes both away from training. What fails stays and is sent again.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

log = logging.getLogger(__name__)

BATCH = 1000
"""Points that MLflow takes in one call."""

PATIENCE = 10.0
"""Seconds after which a failure says that the store is blocked, and the rest may wait."""


@dataclass(frozen=True)
class Point:
    """One number of one step. Sent twice it is kept once, because its time is part of it."""

    key: str
    value: float
    step: int
    milliseconds: int
    """Since 1970, UTC."""


@dataclass(frozen=True)
class Errand:
    """A write that is safe to repeat."""

    what: str
    write: Callable[[], object]


class Outbox:
    """Points and errands, sent every `seconds` in the order they came."""

    def __init__(self, send: Callable[[Sequence[Point]], None], seconds: float = 2.0) -> None:
        self._send = send
        self._points: list[Point] = []
        self._errands: list[Errand] = []
        self._failure: Exception | None = None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._seconds = seconds
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        self._thread.start()

    def add_points(self, points: Iterable[Point]) -> None:
        with self._lock:
            self._points.extend(points)

    def add(self, what: str, write: Callable[[], object]) -> None:
        with self._lock:
            self._errands.append(Errand(what, write))

    def close(self) -> str | None:
        """Send what waits, trying twice; None when all arrived, else what did not and why."""
        self._closing.set()
        self._thread.join()
        self._flush()
        if self._failure is not None:
            self._flush()
        if self._failure is None:
            return None
        waiting = [errand.what for errand in self._errands]
        if self._points:
            waiting.insert(0, f"{len(self._points)} metric points")
        return f"{', '.join(waiting)} ({brief(self._failure)})"

    def _work(self) -> None:
        while not self._closing.wait(self._seconds):
            self._flush()

    def _flush(self) -> None:
        started = time.monotonic()
        with self._lock:
            points, errands = tuple(self._points), tuple(self._errands)
        failure = self._send_points(points)
        for errand in errands:
            if failure is not None and time.monotonic() - started > PATIENCE:
                break
            failure = self._run(errand) or failure
        self._report(failure)
        self._failure = failure

    def _send_points(self, points: Sequence[Point]) -> Exception | None:
        for start in range(0, len(points), BATCH):
            batch = points[start : start + BATCH]
            try:
                self._send(batch)
            except Exception as error:  # whatever it is, the points must not be lost
                return error
            with self._lock:
                del self._points[: len(batch)]
        return None

    def _run(self, errand: Errand) -> Exception | None:
        try:
            errand.write()
        except Exception as error:  # whatever it is, the other errands must go on
            return error
        with self._lock:
            self._errands.remove(errand)
        return None

    def _report(self, failure: Exception | None) -> None:
        if failure is not None and self._failure is None:
            log.warning(
                "the run store takes no writes (%s); they wait and are sent again", brief(failure)
            )
        if failure is None and self._failure is not None:
            log.info("the run store takes writes again; nothing was lost")


def brief(failure: Exception) -> str:
    """What went wrong on one line; SQLAlchemy wraps it in the statement and its values."""
    lines = [line.strip() for line in str(failure).splitlines()]
    said = [line for line in lines if line and not line.startswith(("[", "(Background", "(raised"))]
    return said[0] if said else type(failure).__name__
