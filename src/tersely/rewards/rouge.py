"""ROUGE-L, sentence level, with Porter stems (Lin, 2004).

Equal to `rouge_score` with `rougeL` and `use_stemmer=True`, and about ten times as fast. No other
ROUGE is here: the study rewards this one.
"""

import re
from dataclasses import dataclass

from tersely.rewards.mixture import Term, check_weight
from tersely.rewards.quality import RewardConfig, quality_term
from tersely.rewards.stems import stem

_WORD = re.compile("[a-z0-9]+")


def rouge_l(summary: str, reference: str) -> float:
    """ROUGE-L F1, in [0, 1]; 0 if either text has no word.

    With `l` the length of the longest common subsequence of the stemmed words, `p = l / |summary|`
    and `r = l / |reference|`: `2 p r / (p + r)`.
    """
    from rapidfuzz.distance import LCSseq

    summary_words, reference_words = _words(summary), _words(reference)
    common = LCSseq.similarity(summary_words, reference_words)
    if common == 0:
        return 0.0
    precision, recall = common / len(summary_words), common / len(reference_words)
    return 2 * precision * recall / (precision + recall)


def _words(text: str) -> list[str]:
    """Lower-case runs of ASCII letters and digits; those of four or more are stemmed."""
    return [stem(word) if len(word) > 3 else word for word in _WORD.findall(text.lower())]


@dataclass
class RougeConfig(RewardConfig):
    """`reward=rouge`: ROUGE-L F1 with Porter stems."""

    rouge_weight: float = 1.0
    """Weight of ROUGE-L in the sum; above 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weight("reward.rouge_weight", self.rouge_weight)

    def quality(self) -> tuple[Term, ...]:
        return (*super().quality(), quality_term("rouge", self.rouge_weight, rouge_l))
