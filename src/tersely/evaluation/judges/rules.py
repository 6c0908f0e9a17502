"""Conciseness and clarity by rules that can be worked by hand; for `judge=facts` alone.

They stand in for what a language model would be asked, so that a run without one has all four
metrics. They see form, not sense: read them as "short and not repetitive", "in whole sentences".
"""

import re
from itertools import pairwise

_WORD = re.compile(r"\w+(?:['\u2019]\w+)*")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")

LONGEST_SENTENCE = 40
"""Words; a longer sentence does not count as a clear one."""
SHORTEST_SENTENCE = 2


def conciseness(summary: str, post: str) -> float:
    """How much shorter than the post, times how little is said twice; in [0, 1].

    (1 - words of the summary / words of the post) * (distinct trigrams / trigrams), the first
    factor 0 for a summary as long as its post. A summary of up to three words repeats nothing. One
    without words scores 0: silence is not a short summary.
    """
    words = _words(summary)
    if not words:
        return 0.0
    shorter = max(0.0, 1 - len(words) / max(1, len(_words(post))))
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    distinct = len(set(trigrams)) / len(trigrams) if trigrams else 1.0
    return shorter * distinct


def clarity(summary: str) -> float:
    """Mean of three shares, in [0, 1]; 0 for a summary without words.

    - 1 if the summary ends in `.`, `!` or `?` (a quotation mark or bracket may follow), else 0:
      it was not cut off.
    - Of its sentences, those of 2 to 40 words.
    - Of its pairs of neighbouring words, those that are not the same word twice; 1 without pairs.
    """
    words = _words(summary)
    if not words:
        return 0.0
    ended = summary.rstrip().rstrip("\"'\u201d\u2019)]").endswith((".", "!", "?"))
    lengths = [len(_words(sentence)) for sentence in _SENTENCE.split(summary.strip())]
    whole = sum(SHORTEST_SENTENCE <= length <= LONGEST_SENTENCE for length in lengths)
    pairs = list(pairwise(words))
    different = sum(a != b for a, b in pairs) / len(pairs) if pairs else 1.0
    return (ended + whole / len(lengths) + different) / 3


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
