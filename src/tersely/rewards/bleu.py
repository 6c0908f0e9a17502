"""Sentence BLEU-4 (Papineni et al., 2002), as the `bleu` metric of HF `evaluate` computes it.

One reference at a time: BLEU's own way with several (clipping against their union) is left out,
because a summary is scored against its best reference.
"""

import math
import re
import string
from collections import Counter
from dataclasses import dataclass
from functools import partial

from tersely.rewards.mixture import Term, check_weight
from tersely.rewards.quality import RewardConfig, quality_term

MAX_ORDER = 4

_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
_PUNCTUATION = "".join(mark for mark in string.punctuation if mark not in "',-.")
_APART = re.compile(f"([{re.escape(_PUNCTUATION)}])")
_POINT_AFTER_NO_DIGIT = re.compile("([^0-9])([.,])")
_POINT_BEFORE_NO_DIGIT = re.compile("([.,])([^0-9])")
_DASH_AFTER_DIGIT = re.compile("([0-9])(-)")


def tokens_13a(text: str) -> list[str]:
    """Split `text` as WMT's mteval-v13a script does, the usual tokens of BLEU.

    Punctuation stands apart, but points and commas inside numbers, apostrophes, and dashes that
    follow no digit stay where they are. Case is kept.
    """
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, character in _ENTITIES:
        text = text.replace(entity, character)
    text = _APART.sub(r" \1 ", f" {text} ")
    text = _POINT_AFTER_NO_DIGIT.sub(r"\1 \2 ", text)
    text = _POINT_BEFORE_NO_DIGIT.sub(r" \1 \2", text)
    return _DASH_AFTER_DIGIT.sub(r"\1 \2 ", text).split()


def sentence_bleu(summary: str, reference: str, *, smooth: bool) -> float:
    """BLEU-4 of one summary against one reference, in [0, 1].

    The geometric mean of the clipped n-gram precisions `matches / possible` for n = 1 to 4, times
    the brevity penalty `exp(1 - |reference| / |summary|)` where the summary is not the longer one.
    With `smooth`, every precision is `(matches + 1) / (possible + 1)` (Lin and Och, 2004); without
    it, one order with no match makes the score 0. Either text empty: 0.
    """
    ours, theirs = tokens_13a(summary), tokens_13a(reference)
    if not ours or not theirs:
        return 0.0
    log_precision = 0.0
    for order in range(1, MAX_ORDER + 1):
        matches = (_ngrams(ours, order) & _ngrams(theirs, order)).total() + smooth
        possible = max(len(ours) - order + 1, 0) + smooth
        if matches == 0:
            return 0.0
        log_precision += math.log(matches / possible) / MAX_ORDER
    brevity = min(0.0, 1 - len(theirs) / len(ours))
    return math.exp(log_precision + brevity)


def _ngrams(tokens: list[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(tokens[start:] for start in range(order)), strict=False))


@dataclass
class BleuConfig(RewardConfig):
    """`reward=bleu`: sentence BLEU-4."""

    bleu_weight: float = 1.0
    """Weight of BLEU in the sum; above 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weight("reward.bleu_weight", self.bleu_weight)

    def quality(self) -> tuple[Term, ...]:
        metric = partial(sentence_bleu, smooth=self.bleu_smooth)
        return (*super().quality(), quality_term("bleu", self.bleu_weight, metric))
