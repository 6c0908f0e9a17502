"""The keys of a configuration's dataclass, with what the code says of each.

Python keeps no docstring of a field, so they are read from the source.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import Field, dataclass, fields
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

from omegaconf import MISSING


@dataclass(frozen=True)
class Key:
    """One key as a reader sees it."""

    name: str
    kind: str
    """In words: `int or null`."""
    default: str | None
    """As one types it; None where a value has to be given."""
    meaning: str
    """The docstring, Markdown; empty where there is none."""
    values: tuple[tuple[str, str], ...]
    """Of a key with a few values: each, and what it means."""
    declared_by: type
    """The class that says what the key means."""


def keys_of(schema: type) -> dict[str, Key]:
    """By name, in the order of the dataclass, those that it inherits first."""
    return {field.name: _key(schema, field) for field in fields(schema)}


def more_on(schema: type) -> str:
    """What the docstring of a class says after its first paragraph, as Markdown."""
    return inspect.cleandoc(schema.__doc__ or "").partition("\n\n")[2]


def as_typed(value: Any) -> str:
    """A value as it stands on a command line or in YAML."""
    if value is None:
        return "null"
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(as_typed, value))}]"
    if isinstance(value, float):
        return re.sub(r"e([+-])0", r"e\1", repr(value))
    return str(value)


def _key(schema: type, field: "Field[Any]") -> Key:
    name = field.name
    declaring = [each for each in schema.__mro__ if name in vars(each).get("__annotations__", {})]
    told = [each for each in declaring if name in _docstrings(each)]
    source = (told or declaring)[0]
    meaning = _docstrings(source).get(name, "")
    values = tuple(_values(field.type))
    return Key(name, _in_words(field.type), _default(field), meaning, values, source)


def _default(field: "Field[Any]") -> str | None:
    made = field.default_factory
    value = field.default if made is NO_DEFAULT else made()
    return None if value in (NO_DEFAULT, MISSING) else as_typed(value)


def _in_words(kind: Any) -> str:
    if isinstance(kind, UnionType):
        return " or ".join(map(_in_words, get_args(kind)))
    if get_origin(kind) is list:
        return f"list of {_in_words(get_args(kind)[0])}"
    if kind is NoneType:
        return "null"
    assert isinstance(kind, type)
    return "one of" if issubclass(kind, Enum) else kind.__name__


def _values(kind: Any) -> Iterable[tuple[str, str]]:
    for each in get_args(kind) if isinstance(kind, UnionType) else (kind,):
        if isinstance(each, type) and issubclass(each, Enum):
            yield from ((member.name, _docstrings(each).get(member.name, "")) for member in each)


@cache
def _docstrings(schema: type) -> dict[str, str]:
    """Field, or member of an enum, to the string that stands under it in the class."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(schema))).body[0]
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        target: ast.expr | None = None
        if isinstance(field, ast.AnnAssign):
            target = field.target
        elif isinstance(field, ast.Assign):
            (target,) = field.targets
        text = below.value if isinstance(below, ast.Expr) else None
        if isinstance(target, ast.Name) and isinstance(text, ast.Constant):
            found[target.id] = inspect.cleandoc(str(text.value))
    return found
