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

from tersely.called import called_here
from tersely.paths import from_here

LATEST = Path("checkpoints") / "latest"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sweep:
    """The sweep that this process runs."""

    folder: Path
    report: Callable[[], object]
    """Writes and prints the report of what is there."""
    handed_over: bool = False
    """Whether its jobs may go on when this process has ended, as in a queue."""


_sweeps: list[Sweep] = []


def sweep_begins(sweep: Sweep) -> None:
    """Have its report made where it is interrupted: Hydra calls no callback then."""
    _sweeps.append(sweep)


def interrupt_sweep(number: int, name: str) -> bool:
    """After signal `number`: see `end_sweep`."""
    return end_sweep(f"was interrupted by {signal.Signals(number).name}", name)


def end_sweep(how: str, name: str) -> bool:
    """The report of the sweep of the command `name` that ended early, and how it goes on; False
    and nothing where this process runs none."""
    there_is_one = bool(_sweeps)
    while _sweeps:
        sweep = _sweeps.pop()
        try:
            sweep.report()
        except Exception as error:  # there may be nothing to report yet, or no room for it
            log.warning("the sweep's report could not be made: %s", error)
        print(ended_sweep(how, sweep, name), file=sys.stderr)
    return there_is_one


def process_lost(asked: int | None, name: str) -> int:
    """The same where a process that ran jobs was killed, of a sweep of which signal `asked` may
    have asked the end; the exit code."""
    if asked is not None:
        interrupt_sweep(asked, name)
        return 128 + asked
    end_sweep(
        "has lost a process that ran one of its jobs, and joblib has ended those beside it "
        "(HYDRA_FULL_ERROR=1 shows what it says); where memory was short, set a smaller "
        "hydra.launcher.n_jobs",
        name,
    )
    return 1


def signal_of(interrupt: BaseException) -> int:
    """The number of the signal that was meant: of `RunStopped` its own, else SIGINT's."""
    return int(getattr(interrupt, "number", signal.SIGINT))


def interrupted_run(interrupt: BaseException, folder: Path | None, name: str) -> str:
    """The paragraph for a single run of the command `name`; without a folder nothing has begun."""
    began = f"Interrupted by {signal.Signals(signal_of(interrupt)).name}"
    if folder is None:
        return paragraphs(f"{began} before anything had begun.")
    said = f" {str(interrupt).rstrip('.')}." if str(interrupt) else ""
    return paragraphs(
        f"{began}.{said} {kept_in(folder)} This goes on from there:", command(folder, "run", name)
    )


def ended_sweep(how: str, sweep: Sweep, name: str) -> str:
    """The paragraph for a sweep of the command `name`."""
    still = "Jobs that were handed over may still wait or run elsewhere. "
    return paragraphs(
        f"The sweep {sweep.folder.name} {how}. {still if sweep.handed_over else ''}What its jobs "
        f"have done is kept in {sweep.folder}. This does what is left of it:",
        command(sweep.folder, "sweep", name),
    )


def kept_in(folder: Path) -> str:
    """What a run's folder has that a run goes on from."""
    link = folder / LATEST
    if link.is_symlink() and link.exists():
        return f"{folder} keeps what was measured, and {os.readlink(link)} as {LATEST}."
    return f"{folder} keeps what was measured, but has no checkpoint yet."


def command(folder: Path, kind: str, name: str) -> str:
    """What was typed, with the folder of the `run` or the `sweep` named."""
    named = (f"hydra.{kind}.dir=", f"+hydra.{kind}.dir=", f"++hydra.{kind}.dir=")
    typed = [each for each in sys.argv[1:] if not each.startswith(named)]
    return shell([*called_here(name), *typed, f"hydra.{kind}.dir={from_here(folder)}"])


def shell(words: Sequence[str]) -> str:
    return " ".join(map(shlex.quote, words))


def paragraphs(text: str, *lines: str) -> str:
    """Wrapped text, and lines that are left as they are."""
    filled = textwrap.fill(text, width=96, break_on_hyphens=False, break_long_words=False)
    return "\n" + "\n\n".join([filled, *(f"  {line}" for line in lines)]) + "\n"
