"""What GitHub takes for a list or a table and the site would not is a warning: without an empty
line before it, or with less than four spaces before the second level of a list. So is the mark of
an item with nothing behind it: its text has slipped to the next line."""

import logging
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

log = logging.getLogger("mkdocs.hooks.written_for_github")
ITEM = re.compile(r"(?P<indent> *)([-*+]|\d+[.)]) +\S")
BARE = re.compile(r" *([-*+]|\d+[.)]) *")
FENCE = re.compile(r" *(```+|~~~+)")


def on_page_markdown(
    markdown: str, /, *, page: "Page", config: "MkDocsConfig", files: "Files"
) -> str:
    """mkdocs calls this for each page."""
    for line, what in faults(markdown):
        log.warning(f"{page.file.src_uri}, line {line} of its text: {what}")
    return markdown


def faults(markdown: str) -> Iterator[tuple[int, str]]:
    """Number of a line, from 1, and what is wrong with it."""
    before, fence, in_list = "", "", False
    for number, line in enumerate(markdown.splitlines(), 1):
        mark = FENCE.match(line)
        if fence or mark:
            if mark and not fence:
                fence = mark[1]
            elif mark and mark[1] == fence:
                fence = ""
        elif item := ITEM.match(line):
            if len(item["indent"]) % 4:
                yield number, "four spaces are wanted for each level of a list"
            elif before and not in_list and not before.startswith("#"):
                yield number, "an empty line is wanted before a list"
            in_list = True
        elif BARE.fullmatch(line):
            yield number, "the mark of an item has nothing behind it"
        elif line.startswith("|") and before and not before.startswith("|"):
            yield number, "an empty line is wanted before a table"
        elif not line:
            in_list = False
        before = "" if mark else line.strip()
