"""What a person sees on a long wait: a bar on a terminal, a line every few seconds elsewhere."""

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from types import TracebackType
from typing import Self

log = logging.getLogger(__name__)

LINE_EVERY = 5.0
"""Seconds between two lines where there is no terminal."""

STALL_SECONDS = 30.0
"""A piece of work that takes longer is said in the log, and said again after each such time."""


class Progress:
    """Counts up to a total; a context manager around the work."""

    def __init__(self, name: str, total: int, unit: str) -> None:
        self._name, self._total, self._unit = name, total, unit
        self._began = self._said = time.monotonic()
        self._first = self._last = 0

    def __enter__(self) -> Self:
        from tqdm import tqdm

        self._bar = tqdm(
            total=self._total,
            desc=self._name,
            unit=self._unit,
            # Two processes cannot draw on one terminal.
            disable=not sys.stderr.isatty() or parent_process() is not None,
            dynamic_ncols=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

    def begins_at(self, done: int) -> None:
        """`done` of the total are there already: they say nothing of how long the rest takes."""
        self._first = done
        if not self._bar.disable:
            self._bar.initial = self._bar.n = self._bar.last_print_n = done

    def at(self, done: int, **said: str) -> None:
        """`done` of the total are done; `said` are names and values worth a look."""
        if not self._bar.disable:
            self._bar.set_postfix(said, refresh=False)
            self._bar.update(done - self._bar.n)
            return
        now = time.monotonic()
        if now - self._said > LINE_EVERY or done == self._total > self._last:
            words = [f"{self._name}: {self._unit} {done} of {self._total}"]
            words += [f"{name} {value}" for name, value in said.items()]
            if done > self._first:
                each = (now - self._began) / (done - self._first)
                words.append(f"{each * (self._total - done):.0f} s left")
            log.info(", ".join(words))
            self._said = now
        self._last = done


@contextmanager
def watched(what: str) -> Iterator[None]:
    """Around work that may stall: says `what` it is in the log if it takes long, and again."""
    done = threading.Event()
    began = time.monotonic()

    def watch() -> None:
        while not done.wait(STALL_SECONDS):
            log.warning("%s; this has taken %.0f s so far", what, time.monotonic() - began)

    watcher = threading.Thread(target=watch, name="watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
