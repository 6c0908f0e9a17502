"""A page as one HTML file that needs nothing else."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tersely.analysis.document import Cell, Figure, Page, Table


def html(
    page: Page,
    posts: Mapping[str, Any] | None = None,
    score_names: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> str:
    """The whole page.

    Everything that comes from data is escaped where it stands in the page, and set as text by the
    script. `posts` are from `summaries.side_by_side`, `score_names` name the scores of a summary.
    """
    environment = Environment(
        loader=PackageLoader("tersely.analysis"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests |= {"table": is_table, "figure": is_figure}
    environment.filters |= {"sort_key": sort_key, "is_number": is_number}
    data = None if posts is None else {**posts, "scores": list(score_names)}
    return environment.get_template("page.html.j2").render(
        page=page,
        drawn={
            block.name: Markup(block.svg)
            for section in page.sections
            for block in section.blocks
            if isinstance(block, Figure)
        },
        posts=None if data is None else embedded(data),
        notes=notes,
    )


def embedded(data: Mapping[str, Any]) -> Markup:
    """JSON that stands in a script element: no text in it can end the element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def is_table(block: object) -> bool:
    return isinstance(block, Table)


def is_figure(block: object) -> bool:
    return isinstance(block, Figure)


def is_number(cell: Cell) -> bool:
    return not isinstance(cell.value, str)


def sort_key(cell: Cell) -> str:
    """What the script sorts by; empty sorts last."""
    if isinstance(cell.value, float | int):
        return repr(float(cell.value))
    return cell.value or ""
