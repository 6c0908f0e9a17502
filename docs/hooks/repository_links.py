"""Links that lead out of docs/ work on GitHub; on the site, which has no such files, they are
text. One that leads nowhere is a warning, which ends a strict build."""

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

log = logging.getLogger("mkdocs.hooks.repository_links")
LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<path>\.\./[^)#\s]*)(?P<heading>#[^)\s]*)?\)")


def on_page_markdown(
    markdown: str, /, *, page: "Page", config: "MkDocsConfig", files: "Files"
) -> str:
    """mkdocs calls this for each page."""
    docs = Path(config.docs_dir)
    return without_links_out(markdown, docs / page.file.src_uri, docs)


def without_links_out(markdown: str, source: Path, docs: Path) -> str:
    """The Markdown of the file `source`, its links to files outside `docs` as their text."""

    def text_of(link: re.Match[str]) -> str:
        target = (source.parent / link["path"]).resolve()
        if target.is_relative_to(docs):
            return link[0]
        if not target.exists():
            log.warning(f"{source.relative_to(docs)} has a link to {link['path']}: no such file")
        return link["text"]

    return LINK.sub(text_of, markdown)
