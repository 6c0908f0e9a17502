"""One process at a time, by a lock of the operating system on a file.

The lock goes with the process that holds it, however that ends. The file itself stays: whoever
removed it would let two processes in.
"""

import fcntl
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

log = logging.getLogger(__name__)

WAITING_SAID_EVERY = 30.0
"""Seconds between two lines that say what a process is waiting for."""
LOOK_EVERY = 0.2
"""Seconds between two attempts."""


def take(lock: IO[str]) -> bool:
    """Take the lock of an open file until that is closed; False where another process has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for(lock: IO[str], what: str) -> None:
    """Take the lock as soon as nobody else has it; says now and then `what` is waited for."""
    began = said = time.monotonic()
    while not take(lock):
        if said == began or time.monotonic() - said > WAITING_SAID_EVERY:
            log.info("waiting for %s (%.0f s)", what, time.monotonic() - began)
            said = time.monotonic()
        time.sleep(LOOK_EVERY)


@contextmanager
def if_free(file: Path) -> Iterator[bool]:
    """Whether nobody had the lock of `file`; if so, it is held for the block. False also where
    the file cannot be opened: whose it is cannot be known."""
    try:
        lock = file.open("a", encoding="utf-8")
    except OSError as error:
        log.warning("%s cannot be opened (%s)", file, error.strerror)
        yield False
        return
    with lock:
        yield take(lock)
