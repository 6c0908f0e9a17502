"""How a command is called: `.venv/bin/python train.py` in a checkout, `tersely train` where it is
installed.

What a person is told to type is what works behind the door that they came in by.
"""

import os
import shutil
import sys
from pathlib import Path

CONSOLE_SCRIPT = "tersely"
DOOR_VARIABLE = "TERSELY_DOOR"
"""Carries the door to the processes that run jobs: those of submitit have a script of its own."""
PYTHON_VARIABLE = "TERSELY_TYPED_PYTHON"
"""Carries the interpreter, as it was typed, to the same."""


def remember_the_door() -> None:
    """For the processes that this one starts."""
    os.environ[DOOR_VARIABLE] = sys.argv[0]
    os.environ[PYTHON_VARIABLE] = _python()


def called(name: str) -> str:
    """The command `name` (train, evaluate, report) as one types it."""
    return f"{CONSOLE_SCRIPT} {name}" if _by_console_script() else f"{_python()} {_script(name)}"


def called_here(name: str) -> list[str]:
    """The words that start this very program again from this folder; it is the command `name`."""
    if not _by_console_script():
        return [_python(), sys.argv[0]]
    on_path = shutil.which(CONSOLE_SCRIPT) == sys.argv[0]
    return [CONSOLE_SCRIPT if on_path else sys.argv[0], name]


def _by_console_script() -> bool:
    return _door().name == CONSOLE_SCRIPT


def _door() -> Path:
    """What was started, as it was typed."""
    return Path(os.environ.get(DOOR_VARIABLE) or sys.argv[0])


def _script(name: str) -> Path:
    """That of the command `name`: beside the one that was started; a path from the root is
    shortened here, too."""
    script = Path(f"{name}.py")
    return script if _door().is_absolute() else _door().with_name(script.name)


def _python() -> str:
    """The interpreter as it was typed; `python` in place of a path from the root, which is long and
    rarely typed."""
    typed = os.environ.get(PYTHON_VARIABLE) or sys.orig_argv[0]
    return "python" if Path(typed).is_absolute() else typed
