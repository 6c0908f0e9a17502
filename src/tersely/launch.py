"""How the commands start and end.

Exit codes: 0 done, 1 a defect or a failed job of a sweep, 2 something that the user can mend,
said in one paragraph, 130 and 143 stopped by SIGINT and SIGTERM, with the command that goes on.
`HYDRA_FULL_ERROR=1` shows every traceback.
"""

import os
import re
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tersely.config import CONF, TRAIN, App
from tersely.errors import ConfigError, RunStopped, TerselyError, TrackingError
from tersely.going_on import end_sweep, interrupt_sweep, interrupted_run, process_lost, signal_of
from tersely.key_hints import key_hint, refuse_unknown_options
from tersely.sweep.job_processes import JOB_PROCESS, SWEEP_PROCESS
from tersely.typed_secrets import refuse_typed_secrets

FULL_ERROR = "HYDRA_FULL_ERROR"
DRY_RUN = "--dry-run"
"""Plan the jobs and measure a few steps instead of starting them; `--dry-run=5` measures five."""
TRACEBACKS_WANTED = os.environ.get(FULL_ERROR, "0") != "0"
"""What the user asked for, read before `guarded` changes it."""


INTERRUPTED = {128 + signal.SIGINT, 128 + signal.SIGTERM}
"""Exit codes."""


@dataclass(frozen=True)
class Job:
    """One job, as Hydra started it."""

    folder: Path
    """Everything that the run leaves behind, but for what is shared."""
    overrides: tuple[str, ...]
    """What was asked for on the command line, this job's part of a sweep."""
    seed: int
    choices: Mapping[str, str]
    """Config group to the choice that was made."""
    sweep: str | None
    """The name of the sweep that the job belongs to; None for a single run."""


_jobs: list[Job] = []
"""Those that this process has begun, the current one last."""


def current_job(tree: DictConfig, app: App[Any] = TRAIN) -> Job:
    """The job of `app` that Hydra is running now; `tree` is its configuration."""
    _jobs.append(job_of(tree, app))
    return _jobs[-1]


def job_of(tree: DictConfig, app: App[Any] = TRAIN) -> Job:
    """The job of `app` that Hydra's own configuration speaks of now."""
    config = HydraConfig.get()
    in_sweep = config.mode == RunMode.MULTIRUN
    # As typed: a `${...}` in them refers to `tree`, not to Hydra's own configuration.
    overrides = OmegaConf.to_container(config.overrides.task, resolve=False)
    assert isinstance(overrides, list)
    return Job(
        folder=Path(config.runtime.output_dir),
        overrides=tuple(map(str, overrides)),
        seed=int(tree.seed),
        choices={group: config.runtime.choices.get(group) or "none" for group in app.groups},
        sweep=Path(config.sweep.dir).name if in_sweep else None,
    )


def guarded(main: Callable[[], None], app: App[Any] = TRAIN) -> None:
    """Run a Hydra application, with the errors of composing it shown as one paragraph."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(app.help_text())  # Hydra's own help lists every group first, which takes a second
        return
    signal.signal(signal.SIGTERM, _terminate)
    sys.argv[1:] = map(_with_quotes, sys.argv[1:])
    # Hydra prints errors its own way and leaves with code 1, unless full errors are asked for.
    os.environ[FULL_ERROR] = "1"
    with mendable(app):
        refuse_typed_secrets(sys.argv[1:])
        options = [each for each in sys.argv[1:] if each.partition("=")[0] != DRY_RUN]
        refuse_unknown_options(options, app)
        sys.argv[1:] = [with_globs_of_folders(argument, CONF) for argument in sys.argv[1:]]
        if any(argument.partition("=")[0] == DRY_RUN for argument in sys.argv[1:]):
            from tersely.planning.command import dry_run  # it imports what measures

            raise SystemExit(dry_run(sys.argv[1:], app))
        try:
            main()
        except (SystemExit, KeyboardInterrupt) as end:
            if (number := _signal_in(end)) is None:
                raise
            if interrupt_sweep(number, app.name):
                raise SystemExit(128 + number) from None
            raise
        except BrokenExecutor as error:
            code = process_lost(SWEEP_PROCESS.asked, app.name)
            if TRACEBACKS_WANTED:
                raise
            raise SystemExit(code) from error
        except ValueError as error:
            if _jobs:
                raise
            raise without_choice(error, app) from error
        except OSError as error:
            # Hydra's own errors may be of this kind too.
            if _jobs or isinstance(error, HydraException):
                raise
            raise TrackingError(
                f"{error.filename} cannot be written ({error.strerror}), where the run's folder "
                "should be; set hydra.run.dir=FOLDER (of a sweep hydra.sweep.dir=FOLDER) to a "
                "place that can be written"
            ) from error
        except (TerselyError, HydraException, OmegaConfBaseException):
            raise
        except Exception as error:
            end_sweep(f"ended early, by {type(error).__name__}", app.name)
            raise


def _with_quotes(argument: str) -> str:
    """An existing path in the quotes that Hydra wants: a sweep's folders have = and , in them."""
    key, _, value = argument.partition("=")
    bare = re.search(r"[=,()\[\]{} ]", value) and not re.search(r"[\"'\\$]", value)
    return f'{key}="{value}"' if bare and Path(value).exists() else argument


def with_globs_of_folders(argument: str, conf: Path) -> str:
    """`experiment=glob(study/*)` with the files of `conf` that it stands for; all else as it is.

    Hydra looks for the choices of a glob beside each other only, and runs nothing if it finds none.
    """
    if "=glob(" not in argument:
        return argument
    override = OverridesParser.create().parse_override(argument)
    globs = override.value()
    if not (isinstance(globs, Glob) and any("/" in pattern for pattern in globs.include)):
        return argument
    folder = conf / override.key_or_group
    files = (file.relative_to(folder).with_suffix("") for file in folder.rglob("*.yaml"))
    every = sorted(file.as_posix() for file in files)
    named = [name for name in every if any(_stands_for(each, name) for each in globs.include)]
    if not named:
        raise ConfigError(
            f"{argument} stands for no file in {folder}; a pattern names folder and files, as in "
            "glob(study/*)"
        )
    for pattern in globs.exclude:
        left = [name for name in named if not _excludes(pattern, name)]
        if left == named or not left:
            raise ConfigError(
                f"exclude={pattern} takes {'nothing' if left else 'everything'} away from what "
                f"{argument} stands for; it is held against a name with its folder and without"
            )
        named = left
    return f"{argument.partition('=')[0]}={','.join(named)}"


def _stands_for(pattern: str, name: str) -> bool:
    """Whether a file is meant: one in the very folder that the pattern names."""
    return pattern.count("/") == name.count("/") and fnmatchcase(name, pattern)


def _excludes(pattern: str, name: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name.rpartition("/")[2], pattern)


def without_choice(error: ValueError, app: App[Any] = TRAIN) -> ConfigError:
    """What Hydra says of GROUP=null, with the remedy."""
    return ConfigError(
        f"{error}; name one of a group's choices, as in tracking=none, see `{app.called()} --help`"
    )


def _terminate(number: int, frame: object) -> None:
    # An exception, so that the run is marked KILLED on its way out.
    raise RunStopped("", number)


def _signal_in(end: BaseException) -> int | None:
    """The signal that ended a job, or came between two; None for every other end."""
    if isinstance(end, SystemExit):
        return end.code - 128 if end.code in INTERRUPTED else None
    return signal_of(end)


@contextmanager
def mendable(app: App[Any] = TRAIN) -> Iterator[None]:
    """Turn an error that the user can mend into a paragraph and exit code 2.

    Stands around each job too: Hydra lets SystemExit pass in silence.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if JOB_PROCESS.is_this_one:
            return  # the process of the sweep waits for all of them and says how it goes on
        job = _jobs[-1] if _jobs else None
        if job is None or job.sweep is None:
            folder = job.folder if job else None
            print(interrupted_run(interrupt, folder, app.name), file=sys.stderr)
        raise SystemExit(128 + signal_of(interrupt)) from None
    except (TerselyError, HydraException, OmegaConfBaseException) as error:
        if TRACEBACKS_WANTED:
            raise
        print(paragraph(error, app), file=sys.stderr)
        raise SystemExit(2) from error


def paragraph(error: Exception, app: App[Any] = TRAIN) -> str:
    """The message of an error as one wrapped paragraph."""
    text = f"Error: {message(error, app)}"
    return "\n" + textwrap.fill(text, width=96, break_on_hyphens=False) + "\n"


def message(error: Exception, app: App[Any] = TRAIN) -> str:
    """What an error of ours or of Hydra's says to a user, on one line."""
    return str(error) if isinstance(error, TerselyError) else _composition_error(error, app)


def _composition_error(error: Exception, app: App[Any]) -> str:
    """What Hydra says, without its search path and object types, and with the likely remedy."""
    said = _worth_saying(error)
    if error.__cause__ is not None:
        said += _worth_saying(error.__cause__)
    said = [line for line in said if not line.startswith("To append to your config")]
    said = said or [type(error).__name__]
    said[0], mistaken, _ = (
        said[0].removeprefix("Error merging override ").partition(" To override a value use")
    )
    if mistaken:
        said.append("Write it without the +.")
    for place, line in enumerate(said):
        if line.startswith("Available options"):
            said[place:] = [f"{line} {', '.join(said[place + 1 :])}"]
            break
    if said[0].startswith("mismatched input '='"):
        said.append(
            "A value with = in it stands in quotes, KEY='\"VALUE\"'; a path that exists needs none."
        )
    if "'hydra/launcher/" in said[0]:
        said.append("joblib and submitit come with the package's extra `launchers`.")
    said += key_hint(said[0], app)
    said.append(f"See `{app.called()} --help`.")
    return " ".join(line if line[-1] in ".:?" else f"{line}." for line in said)


def _worth_saying(error: BaseException) -> list[str]:
    noise = ("Config search path", "full_key", "object_type", "reference_type")
    kept: list[str] = []
    for line in str(error).splitlines():
        if line.strip().startswith(noise):
            break
        if line.strip():
            kept.append(line.strip())
    return kept
