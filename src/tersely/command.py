"""The console script: `tersely train`, `tersely evaluate` and `tersely report`.

Each takes what `train.py`, `evaluate.py` and `report.py` take.
"""

import sys
from importlib import import_module

from tersely import __version__

COMMANDS = {
    "train": "train a policy by a reward; a sweep with -m",
    "evaluate": "score a run, a checkpoint or a model as it is",
    "report": "compare finished runs",
}
"""The modules of `apps/`, and what each does."""

HELP = """Which reward signal makes a tiny language model write the best short summary?

Usage: tersely COMMAND [GROUP=CHOICE ...] [KEY=VALUE ...]

Commands:
{commands}

`tersely COMMAND --help` lists what can be chosen; `tersely --version` says which version this is.
"""


def main() -> None:
    """Hand what was typed over to the command that is its first word."""
    word = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if word in COMMANDS:
        del sys.argv[1]
        import_module(f"tersely.apps.{word}").start()
    elif word in ("-h", "--help"):
        print(HELP.format(commands="\n".join(f"  {n:<10} {does}" for n, does in COMMANDS.items())))
    elif word == "--version":
        print(f"tersely {__version__}")
    else:
        _refuse(word)


def _refuse(word: str) -> None:
    from tersely.errors import ConfigError
    from tersely.launch import paragraph  # it imports Hydra, which takes a moment

    error = ConfigError(
        f"tersely has no command {word!r}; the first word is one of {', '.join(COMMANDS)}, as in "
        "`tersely train reward=rouge`; see `tersely --help`"
    )
    print(paragraph(error), file=sys.stderr)
    raise SystemExit(2)
