"""What the processes of a sweep and of its jobs do about a signal, in this process."""

import logging
import multiprocessing
import signal
import time
from collections.abc import Iterator

import pytest

from tersely.errors import RunStopped
from tersely.sweep.job_processes import SWEEP_ENDS, JobProcess, SweepProcess
from tersely.training.stopping import between_steps


@pytest.fixture
def job_process() -> Iterator[JobProcess]:
    """This process as one that runs jobs."""
    numbers = (signal.SIGINT, signal.SIGTERM, SWEEP_ENDS)
    before = [signal.getsignal(number) for number in numbers]
    formats = [(handler, handler.formatter) for handler in logging.getLogger().handlers]
    process = JobProcess()
    process.job_begins(0)
    yield process
    signal.set_wakeup_fd(-1)
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
    for each, formatter in formats:
        each.setFormatter(formatter)


@pytest.mark.parametrize("number", [signal.SIGTERM, SWEEP_ENDS])
def test_a_signal_before_the_job_works_stops_it(
    job_process: JobProcess, number: signal.Signals
) -> None:
    """It is not lost between the beginning of the job and its work."""
    signal.raise_signal(number)
    with pytest.raises(RunStopped), job_process.working():
        pytest.fail("it works")


def test_sigterm_between_two_jobs_is_for_none(job_process: JobProcess) -> None:
    """Nor does it keep the next one from stopping when the sweep asks for its end."""
    signal.raise_signal(signal.SIGTERM)
    job_process.job_begins(1)
    with pytest.raises(RunStopped), job_process.working():
        signal.raise_signal(SWEEP_ENDS)
        pytest.fail("it works on")
    assert job_process.is_to_end


@pytest.mark.parametrize(
    "numbers", [(signal.SIGTERM, SWEEP_ENDS), (SWEEP_ENDS, signal.SIGTERM)], ids=["term", "ends"]
)
def test_sigterm_and_the_end_of_the_sweep_are_one_request(
    job_process: JobProcess, numbers: tuple[signal.Signals, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whichever order they come; SIGTERM alone, twice and not at once, stops at once."""
    monkeypatch.setattr("tersely.training.stopping.ONE_REQUEST_S", 0.0)
    try:
        with job_process.working(), between_steps() as stop:
            for number in numbers:
                signal.raise_signal(number)
            assert stop.requested
    except RunStopped:  # which would end pytest
        pytest.fail("it stops at once")
    job_process.is_to_end = False
    with pytest.raises(RunStopped), job_process.working(), between_steps():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        pytest.fail("it works on")


def test_a_signal_that_is_repeated_at_once_is_no_second_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that comes later does what a signal did before the sweep."""
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    job = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
    sweep = SweepProcess()
    try:
        sweep.lead()
        job.start()
        for seconds, expected in ((600.0, []), (600.0, []), (0.0, [signal.SIGTERM])):
            monkeypatch.setattr("tersely.training.stopping.ONE_REQUEST_S", seconds)
            signal.raise_signal(signal.SIGTERM)
            assert expected == heard
        assert signal.SIGTERM == sweep.asked
    finally:
        job.kill()
        job.join()
        job.close()
        sweep.jobs_have_ended()
        signal.signal(signal.SIGTERM, before)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {SWEEP_ENDS})
