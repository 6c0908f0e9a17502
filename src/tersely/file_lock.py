"""One process at a time, by a lock of the operating system on a file.

The lock goes with the process that holds it, however that ends. The file itself stays: whoever
removed it would let two processes in. A file system without such locks is said once, and work
there goes on without.
"""

import errno
import fcntl
import logging
import os
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
NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
"""What a file system says that has none, as some that are shared between machines."""
_said_of: set[int] = set()
"""Those file systems of which the log has it."""


def take(lock: IO[str]) -> bool:
    """Take the lock of an open file until that is closed; False where another process has it.
    True where the file system has no locks, which the log says."""
    return _taken(lock) is not False


def _taken(lock: IO[str]) -> bool | None:
    """None where nobody can know."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        _say_that_there_are_none(lock)
        return None
    return True


def _say_that_there_are_none(lock: IO[str]) -> None:
    device = os.fstat(lock.fileno()).st_dev
    if device not in _said_of:
        _said_of.add(device)
        log.warning(
            "the file system of %s has no locks, so none is taken: two processes that work in one "
            "folder there overwrite each other's results; start only one at a time",
            lock.name,
        )


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
    the file cannot be opened, or there are no locks: whose it is cannot be known."""
    try:
        lock = file.open("a", encoding="utf-8")
    except OSError as error:
        log.warning("%s cannot be opened (%s)", file, error.strerror)
        yield False
        return
    with lock:
        yield _taken(lock) is True
