"""A process of its own for what is measured: its memory is the job's, and where the system kills
it for that, the plan goes on."""

import logging
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tersely.config import Config
from tersely.errors import ConfigError, TerselyError
from tersely.planning.kinds import Kind
from tersely.planning.measured import Facts, Measured
from tersely.tracking.ending import one_line

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """What came of measuring a kind of job."""

    facts: Facts | None = None
    measured: Measured | None = None
    problem: str = ""
    """Why something is missing; empty where nothing is."""
    refused: bool = False
    """Whether the configuration is to blame for that, and not this machine."""


def measured_apart(kind: Kind, steps: int) -> Found:
    """Measure the first job of `kind` in another process."""
    log.info("measuring kind %s", kind.name)
    context = get_context("spawn")
    here, there = context.Pipe(duplex=False)
    # Made here: whoever is killed removes nothing.
    with TemporaryDirectory(prefix="tersely-dry-run-") as folder:
        process = context.Process(target=_measure, args=(kind.config, steps, Path(folder), there))
        try:
            with _interrupts_held_back():
                process.start()
            there.close()
            said = _all_from(here)
            process.join()
        finally:
            if process.is_alive():
                # A request to stop would be one to finish a step and keep a checkpoint.
                process.kill()
                process.join()
    facts = next((each for each in said if isinstance(each, Facts)), None)
    measured = next((each for each in said if isinstance(each, Measured)), None)
    problem = next((each for each in said if isinstance(each, _Problem)), None)
    if measured is None and problem is None:
        problem = _Problem(_ended(process.exitcode), False)
    return Found(facts, measured, *(problem or ()))


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Until the end of the block; for a process that is started in it, until it ignores them.
    Ctrl-C reaches that one too, and would show where in its imports it is."""
    resource_tracker.ensure_running()  # left to be started in the block, it would let them through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Problem(NamedTuple):
    text: str
    refused: bool


def _all_from(connection: Connection) -> Sequence[object]:
    """Until the other end is closed, by whatever."""
    said: list[object] = []
    while True:
        try:
            said.append(connection.recv())
        except EOFError:
            return said


def _ended(code: int | None) -> str:
    if code == -signal.SIGKILL:
        return (
            "the process that measured it was killed, as a system does when its memory is used up; "
            "save memory with trainer.precision=bf16_stochastic, tuning=lora, loss.beta=0, or a "
            "lower trainer.memory_limit_gb"
        )
    return f"the process that measured it ended with code {code} and without a result"


def _measure(config: Config, steps: int, folder: Path, connection: Connection) -> None:
    """In the other process: send `Facts`, then `Measured`, or a `_Problem` in place of either."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it ends it
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    say_on_stderr()
    from tersely.policy.allocator import keep_freed_memory
    from tersely.policy.blas import load_fast_blas

    # Before anything imports MLX.
    load_fast_blas(callers=config.rollout.computing_threads())
    keep_freed_memory()
    try:
        from tersely.planning.measuring import facts_of, measure, prepared_for_measuring

        prepared, seconds = prepared_for_measuring(config)
        connection.send(facts_of(prepared, seconds))
        log.info("  data and model took %.1f s", seconds)
        connection.send(measure(prepared, steps, folder))
    except KeyboardInterrupt:
        return
    except TerselyError as error:
        connection.send(_Problem(str(error), isinstance(error, ConfigError)))
    except Exception as error:
        log.exception("measuring failed")
        connection.send(_Problem(one_line(error), False))


def say_on_stderr() -> None:
    """What measuring says of its progress, and warnings of everything else."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger(__package__).setLevel(logging.INFO)
