"""Writes on their way to a store that may be busy, or away for hours.

MLflow waits up to 20 seconds for a locked SQLite file, and each call costs a transaction; a
thread of its own takes both away from training. What fails stays and is sent again.

The points are in the run's folder as well, so that only `MOST` of them wait in memory: what is
beyond is read from there again once the store takes writes. Memory is bounded, and so is the wait
at a run's end.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

log = logging.getLogger(__name__)

BATCH = 1000
"""Points that MLflow takes in one call."""

MOST = 200_000
"""Points that wait in memory, where they can be read again: about 30 MB, or 4,000 steps of 50."""

PATIENCE = 10.0
"""Seconds after which a failure says that the store is blocked, and the rest may wait."""


@dataclass(frozen=True, slots=True)
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

    def __init__(
        self,
        send: Callable[[Sequence[Point]], None],
        seconds: float = 2.0,
        kept: Callable[[], Iterable[Point]] | None = None,
    ) -> None:
        """`kept` reads all points of the run again from where they are kept, in their order; a
        point is kept there before it is added here. Without it all that waits is in memory."""
        self._send, self._kept = send, kept
        self._points: list[Point] = []
        self._left_out = 0
        self._errands: list[Errand] = []
        self._failure: Exception | None = None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._seconds = seconds
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        self._thread.start()

    def add_points(self, points: Iterable[Point]) -> None:
        """Keeps the oldest where there are too many, so that they arrive in their order."""
        with self._lock:
            added = list(points)
            room = len(added)
            if self._kept is not None:
                room = 0 if self._left_out else max(0, MOST - len(self._points))
            self._points.extend(added[:room])
            self._left_out += len(added[room:])

    def add(self, what: str, write: Callable[[], object]) -> None:
        with self._lock:
            self._errands.append(Errand(what, write))

    def close(self) -> str | None:
        """Send what waits, trying twice; None when all arrived, else what did not and why."""
        self._closing.set()
        self._thread.join()
        self._flush()
        if self._failure is not None:
            # Nothing comes after it that could be overtaken.
            self._flush(in_turn=False)
        if self._failure is None:
            return None
        waiting = list(dict.fromkeys(errand.what for errand in self._errands))
        if points := len(self._points) + self._left_out:
            waiting.insert(0, f"{points} metric points")
        return f"{', '.join(waiting)} ({brief(self._failure)})"

    def _work(self) -> None:
        while not self._closing.wait(self._seconds):
            self._flush()

    def _flush(self, in_turn: bool = True) -> None:
        """`in_turn`: an errand waits for an earlier one of its name, whose values are older."""
        started = time.monotonic()
        with self._lock:
            errands = tuple(self._errands)
        failure = self._send_points()
        stuck: set[str] = set()
        for errand in errands:
            if failure is not None and time.monotonic() - started > PATIENCE:
                break
            if in_turn and errand.what in stuck:
                continue
            failed = self._run(errand)
            if failed is not None:
                failure = failed
                stuck.add(errand.what)
        self._report(failure)
        self._failure = failure

    def _send_points(self) -> Exception | None:
        try:
            while batch := self._next_points():
                self._send(batch)
                with self._lock:
                    del self._points[: len(batch)]
            if self._left_out:
                self._send_kept()
        except Exception as error:  # whatever it is, the points must not be lost
            return error
        return None

    def _next_points(self) -> list[Point]:
        with self._lock:
            return self._points[:BATCH]

    def _send_kept(self) -> None:
        """All points once more: a point that is there already is not kept twice."""
        assert self._kept is not None, "points are left out only where they are kept"
        with self._lock:
            left_out, self._left_out = self._left_out, 0
        try:
            points = iter(self._kept())
            while batch := list(islice(points, BATCH)):
                self._send(batch)
        except Exception:
            with self._lock:
                # Those that came meanwhile are in memory, and are read again with the others.
                self._left_out += left_out
            raise

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
