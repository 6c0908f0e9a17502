"""What a person sees of work that stalls."""

import logging
import time

import pytest

from tersely import progress
from tersely.progress import watched


def test_work_that_takes_long_says_what_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Again and again while it lasts; quick work says nothing, and its error passes through."""
    monkeypatch.setattr(progress, "STALL_SECONDS", 0.05)
    with caplog.at_level(logging.WARNING):
        with pytest.raises(ValueError, match="quick"), watched("quick work"):
            raise ValueError("quick")
        with watched("slow work"):
            time.sleep(0.3)
        time.sleep(0.15)
    lines = [record.getMessage() for record in caplog.records]
    assert 2 <= len(lines) <= 6
    assert all(line.startswith("slow work; this has taken") for line in lines)
