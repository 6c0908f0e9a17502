"""A report's page, whatever it is written in."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

MISSING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Cell:
    """What a person reads, and what a table is sorted by."""

    text: str
    value: float | str | None = None
    """None sorts last."""
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells under their columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    """What the numbers are, in whole sentences."""


@dataclass(frozen=True)
class Figure:
    """A picture."""

    name: str
    """Of its files, without their ending."""
    caption: str
    svg: str
    """With `currentColor` for ink, to stand in the page."""


Block = str | Table | Figure
"""A paragraph of plain text, a table or a picture."""


@dataclass(frozen=True)
class Section:
    """Under one heading."""

    title: str
    blocks: tuple[Block, ...]

    @property
    def anchor(self) -> str:
        return "-".join("".join(c if c.isalnum() else " " for c in self.title).lower().split())


@dataclass(frozen=True)
class Page:
    """A whole report."""

    title: str
    headline: str
    warnings: tuple[str, ...]
    sections: tuple[Section, ...]


def words(text: str, strong: bool = False) -> Cell:
    return Cell(text or MISSING, text, strong)


def number(value: float | None, form: str = ".3f", strong: bool = False) -> Cell:
    return Cell(shown(value, form), value, strong)


def shown(value: float | None, form: str = ".3f") -> str:
    """A number as text, with a real minus sign; never a signed zero."""
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    text = format(value, form)
    if not any(c in "123456789" for c in text):
        text = text.replace("-", "").replace("+", "")
    return text.replace("-", MINUS)


def p_value(p: float | None) -> Cell:
    return Cell(p_shown(p), p)


def p_shown(p: float | None) -> str:
    """Three digits, or that it is below 0.001."""
    if p is None:
        return MISSING
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], caption: str = "") -> Table:
    """Raises ValueError for a row that has not one cell a column."""
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"{len(row)} cells under {len(columns)} columns: {row}")
    return Table(tuple(columns), tuple(tuple(row) for row in rows), caption)
