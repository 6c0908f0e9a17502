"""One process at a time."""

import errno
import fcntl
import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tersely import file_lock
from tersely.file_lock import if_free, take, wait_for

HOLD = """
import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_it_is_waited_for_until_its_holder_is_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """However that ends: here without a warning. What is waited for is said."""
    file = tmp_path / "run.lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert b"held\n" == holder.stdout.readline()
        with if_free(file) as free:
            assert not free
        end = threading.Timer(0.5, holder.kill)
        end.start()
        with caplog.at_level(logging.INFO), file.open("a") as lock:
            wait_for(lock, "the other one")
            with file.open("a") as another:
                assert not take(another)
        end.join()
    assert "waiting for the other one" in caplog.text
    with if_free(file) as free:
        assert free


def test_a_lock_that_cannot_be_opened_is_not_free(tmp_path: Path) -> None:
    with if_free(tmp_path / "nowhere" / "run.lock") as free:
        assert not free


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_without_locks_work_goes_on_and_that_is_said_once(
    number: int, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for ever, and no run of another process counts as killed."""

    def refuse(lock: object, how: int) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(file_lock, "_said_of", set())
    with (tmp_path / "run.lock").open("a") as lock:
        assert take(lock)
        wait_for(lock, "nobody")
    with if_free(tmp_path / "run.lock") as free:
        assert not free
    (said,) = caplog.records
    assert f"the file system of {tmp_path / 'run.lock'} has no locks" in said.getMessage()


def test_another_error_of_a_lock_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(lock: object, how: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (tmp_path / "run.lock").open("a") as lock, pytest.raises(OSError, match="broken"):
        take(lock)
