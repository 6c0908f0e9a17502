"""Jobs of a sweep beside each other, in processes that are not the sweep's own.

So does `hydra/launcher=joblib`. It kills all of them in the middle of a step as soon as one of
them ends by a signal, or the sweep's process is interrupted. Here the sweep's process passes a
signal on instead and waits: each job stops as a single run does, its process lives on, and none
begins another job.

Only the sweep's process says that none is to begin, by SIGUSR1. What comes to a job's process from
elsewhere is for that job alone: Ctrl-C reaches every process by itself and is ignored there, and
SIGTERM ends the job. Where SIGTERM comes to all processes, as from `timeout`, systemd or Slurm, it
and what the sweep's process passes on are one request.
"""

import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from tersely.errors import RunStopped
from tersely.training import stopping

log = logging.getLogger(__name__)

SWEEP_ENDS = signal.SIGUSR1
"""From the sweep's process to those of its jobs."""


class SweepProcess:
    """The process that runs the sweep: what it does about signals."""

    def __init__(self) -> None:
        self.asked: int | None = None
        """The signal that asked for the end of the sweep."""
        self._passed_on_at: float | None = None
        self._before: dict[int, Any] = {}

    @property
    def leads(self) -> bool:
        """Whether jobs run in processes that it has started."""
        return bool(self._before)

    def lead(self) -> None:
        """Pass the first signal on to the processes of the jobs; a later one does what it did
        before, and one that is ignored stays so."""
        # A process that has just been started inherits this, and is told when it can listen.
        signal.pthread_sigmask(signal.SIG_BLOCK, {SWEEP_ENDS})
        for number in stopping.SIGNALS:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                self._before[number] = signal.signal(number, self._pass_on)

    def jobs_have_ended(self) -> None:
        """From now on a signal does what it did before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        if self.asked is not None:
            if (
                self._passed_on_at
                and time.monotonic() - self._passed_on_at > stopping.ONE_REQUEST_S
            ):
                self.jobs_have_ended()
                signal.raise_signal(number)
            return
        self.asked = number
        processes = multiprocessing.active_children()
        if not processes:
            self.jobs_have_ended()
            raise RunStopped("", number)
        log.warning(
            "%s: the jobs that run finish their step and write a checkpoint first, and no other "
            "begins; once more stops at once",
            signal.Signals(number).name,
        )
        for pid in [process.pid for process in processes if process.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, SWEEP_ENDS)
        self._passed_on_at = time.monotonic()


class JobProcess:
    """A process that runs jobs one after the other, for a sweep that another process runs."""

    def __init__(self) -> None:
        self.is_to_end = False
        """Whether no job is to begin here any more."""
        self._asked = False  # for the end of this job, before it had begun
        self._working = False
        self._signals: int | None = None

    @property
    def is_this_one(self) -> bool:
        return multiprocessing.parent_process() is not None

    def job_begins(self, number: int) -> None:
        """Be ready for signals, and say on the terminal which job it is that says something."""
        self._asked = False
        self._heard()  # what came for an earlier job
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._terminate)
        signal.signal(SWEEP_ENDS, self._sweep_ends)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {SWEEP_ENDS})
        for handler in logging.getLogger().handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.setFormatter(logging.Formatter(f"#{number} %(message)s"))

    def _heard(self) -> bytes:
        """The signals since the last time, whoever has handled them: in the middle of a step that
        is not this object."""
        if self._signals is None:
            self._signals, writing = os.pipe()
            for end in (self._signals, writing):
                os.set_blocking(end, False)
            signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        with suppress(BlockingIOError):
            return os.read(self._signals, 4096)
        return b""

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        if not self.is_to_end:  # else the job has been asked, and this went to all processes
            self._stop()

    def _sweep_ends(self, number: int, frame: FrameType | None) -> None:
        self.is_to_end = True
        if signal.SIGTERM in self._heard():
            return  # it went to all processes, and this job has been asked
        handler = signal.getsignal(signal.SIGTERM)
        if callable(handler) and handler != self._terminate:  # a job in the middle of a step
            handler(signal.SIGTERM, frame)
        else:
            self._stop()

    def _stop(self) -> None:
        self._asked = True
        if self._working:
            raise RunStopped("", signal.SIGTERM)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Around a job. Raises RunStopped where it was asked to end, before or meanwhile."""
        self._working = True
        try:
            if self.is_to_end or self._asked:
                raise RunStopped("", signal.SIGTERM)
            yield
        finally:
            self._working = False


SWEEP_PROCESS = SweepProcess()
JOB_PROCESS = JobProcess()
