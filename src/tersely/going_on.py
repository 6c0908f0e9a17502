"""What a person is told who stops a run or a sweep: what is kept, and the command to go on."""

import logging
import os
import shlex
import signal
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

LATEST = Path("checkpoints") / "latest"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sweep:
    """The sweep that this process runs."""

    folder: Path
    report: Callable[[], object]
    """Writes and prints the report of what is there."""


_sweeps: list[Sweep] = []


def sweep_begins(sweep: Sweep) -> None:
    """Have its report made where it is interrupted: Hydra calls no callback then."""
    _sweeps.append(sweep)


def end_sweep(number: int) -> None:
    """After signal `number`: the report of the sweep, and how it goes on; nothing where this
    process runs none."""
    while _sweeps:
        sweep = _sweeps.pop()
        try:
            sweep.report()
        except Exception as error:  # there may be nothing to report yet, or no room for it
            log.warning("the sweep's report could not be made: %s", error)
        print(interrupted_sweep(number, sweep.folder), file=sys.stderr)


def signal_of(interrupt: BaseException) -> int:
    """The number of the signal that was meant: of `RunStopped` its own, else SIGINT's."""
    return int(getattr(interrupt, "number", signal.SIGINT))


def interrupted_run(interrupt: BaseException, folder: Path | None) -> str:
    """The paragraph for a single run; without a folder nothing has begun."""
    began = f"Interrupted by {signal.Signals(signal_of(interrupt)).name}"
    if folder is None:
        return paragraphs(f"{began} before anything had begun.")
    said = f" {str(interrupt).rstrip('.')}." if str(interrupt) else ""
    return paragraphs(
        f"{began}.{said} {kept_in(folder)} This goes on from there:", command(folder, "run")
    )


def interrupted_sweep(number: int, folder: Path) -> str:
    """The paragraph for a sweep."""
    return paragraphs(
        f"The sweep {folder.name} was interrupted by {signal.Signals(number).name}. What its jobs "
        f"have done is kept in {folder}. This does what is left of it:",
        command(folder, "sweep"),
    )


def kept_in(folder: Path) -> str:
    """What a run's folder has that a run goes on from."""
    link = folder / LATEST
    if link.is_symlink() and link.exists():
        return f"{folder} keeps what was measured, and {os.readlink(link)} as {LATEST}."
    return f"{folder} keeps what was measured, but has no checkpoint yet."


def command(folder: Path, kind: str) -> str:
    """What was typed, with the folder of the `run` or the `sweep` named."""
    named = (f"hydra.{kind}.dir=", f"+hydra.{kind}.dir=", f"++hydra.{kind}.dir=")
    typed = [each for each in sys.argv[1:] if not each.startswith(named)]
    return shell(["python", sys.argv[0], *typed, f"hydra.{kind}.dir={from_here(folder)}"])


def from_here(folder: Path) -> Path:
    """The folder as one would type it."""
    absolute = folder.absolute()
    here = Path.cwd()
    return absolute.relative_to(here) if absolute.is_relative_to(here) else absolute


def shell(words: Sequence[str]) -> str:
    return " ".join(map(shlex.quote, words))


def paragraphs(text: str, *lines: str) -> str:
    """Wrapped text, and lines that are left as they are."""
    filled = textwrap.fill(text, width=96, break_on_hyphens=False, break_long_words=False)
    return "\n" + "\n\n".join([filled, *(f"  {line}" for line in lines)]) + "\n"
