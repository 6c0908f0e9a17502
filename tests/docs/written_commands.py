"""The commands that README.md and docs/ tell a reader to type: every line of a block of sh."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"(?P<indent> *)(?P<mark>```+|~~~+) *(?P<language>\w*)")
SHELLS = {"sh", "bash", "shell", "zsh"}
PROMPT = re.compile(r" *\$ ")
"""Before what is typed, in a block of `console`; the rest of it is what was answered."""


class Written(NamedTuple):
    """One command, as it is typed: of `a && b` each, continued lines as one, without comments."""

    text: str
    page: str
    line: int
    """Of the page, from 1, where the command begins."""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def written_commands() -> list[Written]:
    """All of them, page by page; one that stands in several places is told by the first."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    found: dict[str, Written] = {}
    for page in pages:
        name = page.relative_to(ROOT).as_posix()
        for text, line in commands_of(page.read_text(encoding="utf-8")):
            found.setdefault(text, Written(text, name, line))
    return list(found.values())


def commands_of(markdown: str) -> Iterator[tuple[str, int]]:
    """Commands of one page, with their lines."""
    for language, first, lines in blocks(markdown):
        if language == "console":
            lines = [PROMPT.sub("", line) if PROMPT.match(line) else "" for line in lines]
        elif language not in SHELLS:
            assert not any(line.startswith((".venv/bin/", "sh setup.sh")) for line in lines), (
                f"line {first}: a block of commands wants ```sh"
            )
            continue
        yield from _commands(lines, first)


def blocks(markdown: str) -> Iterator[tuple[str, int, list[str]]]:
    """Language, line of its first line, and lines of each fenced block."""
    lines = iter(enumerate(markdown.splitlines(), 1))
    for number, line in lines:
        fence = FENCE.match(line)
        if fence is None:
            continue
        inside = []
        for _, below in lines:
            if below.strip() == fence["mark"]:
                break
            inside.append(below.removeprefix(fence["indent"]))
        yield fence["language"], number + 1, inside


def _commands(lines: list[str], first: int) -> Iterator[tuple[str, int]]:
    text, begins, in_quotes = "", first, False
    for number, line in enumerate(lines, first):
        if not text:
            begins = number
        text += line if in_quotes else line.lstrip()
        bare, in_quotes = without_comment(text)
        if in_quotes:
            text += "\n"
        elif bare.endswith("\\"):
            text = f"{bare[:-1].rstrip()} "
        else:
            assert "<<" not in bare, f"line {number}: a here-document is not understood"
            yield from ((part.strip(), begins) for part in bare.split(" && ") if part.strip())
            text = ""
    assert not text, f"line {begins}: the command does not end"


def without_comment(text: str) -> tuple[str, bool]:
    """A line up to its comment, and whether it ends within quotes."""
    quote = ""
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter == "#" and (place == 0 or text[place - 1].isspace()):
            return text[:place].rstrip(), False
    return text.rstrip(), bool(quote)
