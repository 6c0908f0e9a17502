"""What a person sees on a long wait: a bar on a terminal, a line every few seconds elsewhere."""

import logging
import sys
import time
from types import TracebackType
from typing import Self

log = logging.getLogger(__name__)

LINE_EVERY = 5.0
"""Seconds between two lines where there is no terminal."""


class Progress:
    """Counts up to a total; a context manager around the work."""

    def __init__(self, name: str, total: int, unit: str) -> None:
        self._name, self._total, self._unit = name, total, unit
        self._began = self._said = time.monotonic()

    def __enter__(self) -> Self:
        from tqdm import tqdm

        self._bar = tqdm(
            total=self._total,
            desc=self._name,
            unit=self._unit,
            disable=not sys.stderr.isatty(),
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

    def at(self, done: int, **said: str) -> None:
        """`done` of the total are done; `said` are names and values worth a look."""
        if not self._bar.disable:
            self._bar.set_postfix(said, refresh=False)
            self._bar.update(done - self._bar.n)
            return
        now = time.monotonic()
        if now - self._said > LINE_EVERY or done == self._total:
            left = (now - self._began) / done * (self._total - done)
            words = "".join(f", {name} {value}" for name, value in said.items())
            log.info(
                f"{self._name}: {self._unit} {done} of {self._total}{words}, {left:.0f} s left"
            )
            self._said = now
