"""A page's worked example: the files that it has one write, the lines to edit, the commands.

A fenced block that begins ```python title="PATH" (or yaml) is the file at PATH, whole and new. One
that begins ```diff title="PATH" is an edit of it: lines that stay begin with a space, those to take
out with `-`, those to put in with `+`, and what stays or goes stands in the file exactly once. The
lines of a block that begins ```sh are commands, typed in the root of a checkout. A block of python
without a path is a sketch, which compiles.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
COPIED = ("src/tersely", "conf", "tests", "train.py", "evaluate.py", "pyproject.toml", "README.md")
"""What commands of a page need of a checkout."""


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    language: str
    path: str | None
    """Of the file that it is or edits; None for commands and sketches."""
    text: str

    @property
    def commands(self) -> list[str]:
        return self.text.splitlines() if self.language == "sh" else []


def blocks_of(page: Path) -> list[Block]:
    """In their order; the page has no other blocks than those of its example."""
    text = page.read_text(encoding="utf-8")
    found = [Block(*match.groups()) for match in _BLOCK.finditer(text)]
    fences = sum(line.lstrip().startswith("```") for line in text.splitlines())
    assert 2 * len(found) == fences, f"{page.name} has a block that is no part of an example"
    for block in found:
        if block.path is None and block.language == "python":
            compile(block.text, page.name, "exec")
        else:
            assert (block.path is None) == (block.language == "sh"), block
    return found


def files_of(blocks: Sequence[Block]) -> list[str]:
    """Paths of those that are new."""
    return [each.path for each in blocks if each.path is not None and each.language != "diff"]


def copy_of(checkout: Path, folder: Path) -> Path:
    """What the commands of a page are typed in, compiled as far as the checkout is."""
    for name in COPIED:
        source, target = checkout / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)
    return folder


def put(block: Block, folder: Path) -> None:
    """Write the block's file, or edit it."""
    if block.path is None:
        return
    file = folder / block.path
    if block.language == "diff":
        file.write_text(edit(file.read_text(encoding="utf-8"), block), encoding="utf-8")
        return
    assert not file.exists(), f"{block.path} is there already"
    file.write_text(block.text, encoding="utf-8")


def edit(text: str, block: Block) -> str:
    """`text` with the edit made. It has to fit in one place, so that a reader finds it."""
    lines = block.text.splitlines(keepends=True)
    assert {line[0] for line in lines} <= set(" +-"), block.text
    before = "".join(line[1:] for line in lines if line[0] != "+")
    after = "".join(line[1:] for line in lines if line[0] != "-")
    times = text.count(before)
    assert 1 == times, f"{block.path} has these lines {times} times:\n{before}"
    return text.replace(before, after)


def typed(command: str, folder: Path) -> str:
    """Run a command in `folder`, with this interpreter; all that it said. It must end with 0."""
    kept = {name: value for name, value in os.environ.items() if "TERSELY" not in name}
    done = subprocess.run(
        command.replace(".venv/bin/python", f'"{sys.executable}"'),
        shell=True,
        cwd=folder,
        env={**kept, "PYTHONPATH": str(folder / "src")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    said = done.stdout + done.stderr
    assert 0 == done.returncode, f"{command}\n{said}"
    return said
