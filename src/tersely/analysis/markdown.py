"""A page as Markdown."""

import re

from tersely.analysis.document import Block, Cell, Figure, Page, Table

SPECIAL = re.compile(
    r"""([\\`*\[\]|~]            # everywhere
    |^[#>]                       # where a line begins
    |<(?=[A-Za-z/!?])            # a tag, but not p <0.001
    |&(?=\#?\w+;)                # an entity
    |(?<![^\W_])_|_(?![^\W_]))   # emphasis, but not bleu_rouge""",
    re.VERBOSE,
)
"""What Markdown would take for more than a character; a name may have it."""


def markdown(page: Page) -> str:
    """The whole page; pictures are files under `figures/` beside it."""
    parts = [f"# {escaped(page.title)}", f"**{escaped(page.headline)}**"]
    if page.warnings:
        warnings = "\n".join(f"- {escaped(warning)}" for warning in page.warnings)
        parts += ["## Warnings", warnings]
    for section in page.sections:
        parts.append(f"## {escaped(section.title)}")
        parts += [block_text(block) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def block_text(block: Block) -> str:
    if isinstance(block, str):
        return escaped(block)
    if isinstance(block, Figure):
        picture = f"![{escaped(block.caption)}](figures/{block.name}.png)"
        return f"{picture}\n\n{escaped(block.caption)}"
    return table_text(block)


def table_text(table: Table) -> str:
    """Padded to be read in a terminal too; numbers stand to the right."""
    heads = [escaped(column.strip()) for column in table.columns]
    rows = [[cell_text(cell) for cell in row] for row in table.rows]
    widths = [max(3, *map(len, column)) for column in zip(heads, *rows, strict=True)]
    right = [
        all(not isinstance(row[place].value, str) for row in table.rows)
        for place in range(len(heads))
    ]

    def line(cells: list[str]) -> str:
        padded = (
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(cells, widths, right, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    rule = ["-" * (w - 1) + (":" if r else "-") for w, r in zip(widths, right, strict=True)]
    lines = [line(heads), line(rule), *map(line, rows)]
    return "\n".join(lines) + (f"\n\n{escaped(table.caption)}" if table.caption else "")


def cell_text(cell: Cell) -> str:
    text = escaped(cell.text)
    return f"**{text}**" if cell.strong else text


def escaped(text: str) -> str:
    """One line that reads as `text` does, whatever is in it."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))
