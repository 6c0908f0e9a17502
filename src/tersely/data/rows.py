"""Raw rows become examples, and every row that cannot is counted by kind.

Used by each source of real data. Only the first row of an id is kept; nothing is repaired.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tersely.errors import DataError
from tersely.records import Example

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fault:
    """Why a row cannot be an example: `empty post`, `broken JSON`, ..."""

    kind: str


@dataclass
class Tally:
    """How many rows were read, how many were left out and why."""

    total: int = 0
    """Rows read, the faulty ones included."""
    kinds: Counter[str] = field(default_factory=Counter)
    """Kind of fault -> rows."""
    first: int | None = None
    """Number of the first row at fault, counted from 1."""

    def add(self, number: int, fault: Fault) -> None:
        """Note that row `number` is left out."""
        self.kinds[fault.kind] += 1
        if self.first is None:
            self.first = number

    @property
    def left_out(self) -> int:
        """Rows left out, over all kinds."""
        return self.kinds.total()

    def describe(self, unit: str) -> str:
        """`left out 3 of 168 rows (2 empty post, 1 broken JSON); first at line 17`."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.kinds.most_common())
        rows = "row" if self.total == 1 else "rows"
        share = f"{self.left_out} of {self.total} {rows}"
        return f"left out {share} ({kinds}); first at {unit} {self.first}"


class CheckedRows(NamedTuple):
    """The examples of a split and the tally of what was left out."""

    examples: tuple[Example, ...]
    tally: Tally


def check_rows(rows: Iterable[tuple[int, object]], split: str) -> CheckedRows:
    """Turn numbered raw rows into examples.

    A row is a mapping with `prompt`, `completion` and optionally `id`, `domain`, `references`,
    or a `Fault` that its reader found. Rows without an id get `<split>-<number>`.
    """
    examples: dict[str, Example] = {}
    tally = Tally()
    for number, row in rows:
        tally.total += 1
        checked = _check(row, f"{split}-{number}")
        if isinstance(checked, Example) and checked.id in examples:
            checked = Fault("duplicate id")
        if isinstance(checked, Fault):
            tally.add(number, checked)
        else:
            examples[checked.id] = checked
    return CheckedRows(tuple(examples.values()), tally)


def usable_examples(checked: CheckedRows, source: str, unit: str) -> tuple[Example, ...]:
    """Log once what was left out of `source` and return the rest.

    `unit` names what the numbers count: `line` or `row`. Raises `DataError` if nothing is left.
    """
    tally = checked.tally
    if not checked.examples:
        why = tally.describe(unit) if tally.total else "it has no rows"
        raise DataError(f"{source} has no usable row: {why}; a row needs `prompt` and `completion`")
    if tally.left_out:
        log.warning("%s: %s", source, tally.describe(unit))
    return checked.examples


class _Faulty(Exception):
    """Carries the kind of fault out of the checks of one row."""


def _check(row: object, fallback_id: str) -> Example | Fault:
    if isinstance(row, Fault):
        return row
    if not isinstance(row, Mapping):
        return Fault("not an object")
    try:
        post = _text(row, "prompt", "post")
        completion = _text(row, "completion", "reference")
        references = _references(row)
        row_id, domain = _label(row, "id"), _label(row, "domain")
    except _Faulty as fault:
        return Fault(str(fault))
    if completion not in references:
        references = (completion, *references)
    return Example(row_id or fallback_id, post, references, domain)


def _text(row: Mapping[object, object], key: str, name: str) -> str:
    value = row.get(key)
    if value is None:
        raise _Faulty(f"missing {key}")
    if not isinstance(value, str):
        raise _Faulty(f"{key} is not text")
    return _not_empty(value, name)


def _references(row: Mapping[object, object]) -> tuple[str, ...]:
    value = row.get("references")
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _Faulty("references is not a list of text")
    return tuple(_not_empty(item, "reference") for item in value)


def _label(row: Mapping[object, object], key: str) -> str:
    value = row.get(key)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise _Faulty(f"{key} is not text")
    return _encodable(str(value)).strip()


def _not_empty(text: str, name: str) -> str:
    if not text.strip():
        raise _Faulty(f"empty {name}")
    return _encodable(text)


def _encodable(text: str) -> str:
    """Refuse half a surrogate pair: JSON can spell it and no tokenizer can read it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _Faulty("broken UTF-8") from error
    return text
