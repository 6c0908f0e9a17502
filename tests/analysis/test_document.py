"""How numbers read, in Markdown and on the page."""

import math

import pytest

from tersely.analysis.document import Page, Section, number, p_shown, shown, table, words
from tersely.analysis.html import embedded, html
from tersely.analysis.markdown import markdown

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
NASTY = '<script>alert("1")</script> | *a_b* & [x](y)'


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (-0.1234, ".3f", f"{MINUS}0.123"),
        (0.1234, "+.3f", "+0.123"),
        (-0.0001, "+.3f", "0.000"),
        (None, ".3f", DASH),
        (math.nan, ".3f", DASH),
        (-math.inf, ".3f", f"{MINUS}\N{INFINITY}"),
        (0.105, ".1%", "10.5%"),
    ],
)
def test_numbers_read_well(value: float | None, form: str, text: str) -> None:
    """With a real minus, without a signed zero, and a dash for what is not there."""
    assert text == shown(value, form)


def test_small_p_values_are_bounds() -> None:
    """A p of 0 is never shown."""
    assert ("<0.001", "0.001", "1.000") == (p_shown(0.0), p_shown(0.001), p_shown(1.0))


def test_a_row_has_a_cell_a_column() -> None:
    """A table that is shifted by one would still look like a table."""
    with pytest.raises(ValueError, match="1 cells under 2 columns"):
        table(("a", "b"), [[words("x")]])


def nasty_page() -> Page:
    rows = [[words(NASTY), number(0.5, strong=True)], [words("b"), number(None)]]
    return Page(NASTY, NASTY, (NASTY,), (Section("One & two", (table(("n", "x"), rows, NASTY),)),))


def test_markdown_keeps_its_shape_whatever_names_are() -> None:
    """A bar in a name is no column, an asterisk no emphasis."""
    lines = markdown(nasty_page()).splitlines()
    (row,) = (line for line in lines if line.startswith("| \\<script"))
    assert 2 == row.replace("\\|", "").strip("|").count("|") + 1
    assert "\\*a_b\\*" in row
    assert row.endswith("| **0.500** |")
    assert "## Warnings" in lines


def test_the_page_shows_text_as_text() -> None:
    """Wherever it stands: title, headline, warning, cell, caption."""
    text = html(nasty_page())
    assert 1 == text.count("<script>")  # the page's own
    assert 7 == text.count("&lt;script&gt;alert")  # title and cell stand twice
    assert 'id="one-two"' in text


def test_posts_cannot_end_their_element() -> None:
    """JSON in a script element ends at the first `</script`, in whatever string that stands."""
    text = str(embedded({"post": "</script><!-- & \u2028"}))
    assert '{"post":"\\u003c/script\\u003e\\u003c!-- \\u0026 \\u2028"}' == text
