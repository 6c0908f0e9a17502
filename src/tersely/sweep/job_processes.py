"""Jobs of a sweep beside each other, in processes that are not the sweep's own.

So does `hydra/launcher=joblib`. It kills all of them in the middle of a step as soon as one of
them ends by a signal, or the sweep's process is interrupted. Here the sweep's process passes a
signal on instead and waits: each job stops as a single run does, its process lives on, and none
begins another job. Ctrl-C reaches every process by itself, which those of the jobs ignore.
"""

import logging
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from tersely.errors import RunStopped
from tersely.going_on import signal_of

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SweepProcess:
    """The process that runs the sweep: what it does about signals."""

    def __init__(self) -> None:
        self.asked: int | None = None
        """The signal that asked for the end of the sweep."""
        self._before: dict[int, Any] = {}

    @property
    def leads(self) -> bool:
        """Whether jobs run in processes that it has started."""
        return bool(self._before)

    def lead(self) -> None:
        """Pass the first signal on to the processes of the jobs; a second one does what it did
        before, and one that is ignored stays so."""
        for number in SIGNALS:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                self._before[number] = signal.signal(number, self._pass_on)

    def jobs_have_ended(self) -> None:
        """From now on a signal does what it did before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self.jobs_have_ended()
        self.asked = number
        processes = multiprocessing.active_children()
        if not processes:
            raise RunStopped("", number)
        log.warning(
            "%s: the jobs that run finish their step and write a checkpoint first, and no other "
            "begins; once more stops at once",
            signal.Signals(number).name,
        )
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process.pid or 0, signal.SIGTERM)


class JobProcess:
    """A process that runs jobs one after the other, for a sweep that another process runs."""

    def __init__(self) -> None:
        self._asked: int | None = None
        self._working = False

    @property
    def is_this_one(self) -> bool:
        return multiprocessing.parent_process() is not None

    @property
    def is_to_end(self) -> bool:
        """Whether no job is to begin here any more."""
        return self._asked is not None

    def job_begins(self, number: int) -> None:
        """Be ready for signals, and say on the terminal which job it is that says something."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._stop)
        for handler in logging.getLogger().handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.setFormatter(logging.Formatter(f"#{number} %(message)s"))

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._asked = number
        if self._working:
            raise RunStopped("", number)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Around a job. Raises RunStopped where this process is to end, then or meanwhile."""
        if self._asked is not None:
            raise RunStopped("", self._asked)
        self._working = True
        try:
            yield
        except KeyboardInterrupt as interrupt:
            self._asked = signal_of(interrupt)
            raise
        finally:
            self._working = False


SWEEP_PROCESS = SweepProcess()
JOB_PROCESS = JobProcess()
