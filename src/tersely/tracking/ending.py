"""How a run ended, in the words of MLflow."""

from typing import Literal

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]

LONGEST_REASON = 500
"""Characters; MLflow takes 8,000 in a tag, a table cell is read by a person."""


def status_of(error: BaseException | None) -> RunStatus:
    """FINISHED without an error, KILLED when somebody stopped the run, else FAILED."""
    if error is None:
        return "FINISHED"
    return "KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED"


def one_line(error: BaseException) -> str:
    """The error's class and message on one line, cut at `LONGEST_REASON` characters."""
    message = " ".join(str(error).split())
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 1] + "…"
