"""Exact scores of a summary against the facts of its example, with no judge.

A text states a value if it contains one of the value's forms as a sequence of whole words,
whatever the case, the punctuation and the white space. Both scores look at stated values only:
a negation or a muddled sentence around them goes unnoticed.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from tersely.data.story import all_values
from tersely.records import Fact

_WORD = re.compile(r"\w+(?:'\w+)*")
"""An apostrophe inside a word belongs to it: "my boss's" does not state "my boss"."""
_VALUE = ""
"""Key of the value in a node of the word tree; no word is empty."""


def coverage(summary: str, facts: Sequence[Fact]) -> float:
    """The share of the facts that the summary states, in [0, 1].

    Raises ValueError without facts: real posts do not say what theirs are.
    """
    if not facts:
        raise ValueError("coverage needs the facts of the example, and this one has none")
    text = _as_line(_words(summary))
    return sum(_states(text, fact) for fact in facts) / len(facts)


def faithfulness(summary: str, facts: Sequence[Fact]) -> float:
    """Of the distinct values of the lexicon that the summary states, the share that are facts.

    In [0, 1]. A summary that states no value scores 0.0: it supports nothing, and otherwise
    gibberish and silence would be perfectly faithful. Raises ValueError without facts.
    """
    if not facts:
        raise ValueError("faithfulness needs the facts of the example, and this one has none")
    stated = dict.fromkeys(_scan(_words(summary)))
    if not stated:
        return 0.0
    return sum(value in facts for value in stated) / len(stated)


def states(text: str, form: str) -> bool:
    """Whether `text` contains `form` as a sequence of whole words."""
    return _as_line(_words(form)) in _as_line(_words(text))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.replace("\u2019", "'").casefold())


def _as_line(words: list[str]) -> str:
    return f" {' '.join(words)} "


def _states(line: str, fact: Fact) -> bool:
    return any(form in line for form in _padded(fact))


@cache
def _padded(fact: Fact) -> tuple[str, ...]:
    return tuple(_as_line(_words(form)) for form in fact.forms)


def _scan(words: list[str]) -> Iterator[Fact]:
    """The value of the longest form that starts at each word."""
    root = _tree()
    for start, word in enumerate(words):
        node, found, index = root.get(word), None, start
        while node is not None:
            found = node.get(_VALUE, found)
            index += 1
            node = node.get(words[index]) if index < len(words) else None
        if found is not None:
            yield found


@cache
def _tree() -> dict[str, Any]:
    """Every form of every value as a path of words; its last node holds the value."""
    root: dict[str, Any] = {}
    for value in all_values():
        for form in value.forms:
            node = root
            for word in _words(form):
                node = node.setdefault(word, {})
            node[_VALUE] = value
    return root
