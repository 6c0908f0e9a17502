"""METEOR (Lavie and Agarwal, 2007) as NLTK computes it, on cached stems and cached synonyms.

Equal to `nltk.translate.meteor_score` with its defaults (alpha 0.9, beta 3, gamma 0.5) on the
tokens of `word_tokenize(text, preserve_line=True)`: the Treebank rules over the whole text. HF
`evaluate` first splits the text into sentences with Punkt, a model that must be downloaded; here a
full stop that ends a sentence inside the text stays on its word. On a hundred real posts that made
METEOR 0.02 lower on average than with the sentences split after `.`, `!` and `?`.
"""

from dataclasses import dataclass
from functools import lru_cache

from tersely.rewards.matching import Matching
from tersely.rewards.mixture import Term, check_weight
from tersely.rewards.quality import Metric, RewardConfig, quality_term
from tersely.rewards.stems import stem
from tersely.rewards.synonyms import ReferenceSynonyms, SynonymsOf, no_synonyms, wordnet_synonyms


def meteor_scorer(matching: Matching) -> Metric:
    """A function from a summary and a reference to METEOR in [0, 1]; threads may share it.

    Finds WordNet at once; raises `CorpusMissing` if it is not on this machine.
    """
    from nltk.tokenize import NLTKWordTokenizer
    from nltk.translate.meteor_score import single_meteor_score

    synonyms_of = _synonyms_of_wordnet() if matching is Matching.wordnet else no_synonyms
    tokens = NLTKWordTokenizer().tokenize

    @lru_cache(maxsize=2**8)  # the rollouts of a group share their references
    def read(reference: str) -> tuple[list[str], ReferenceSynonyms]:
        words = tokens(reference)
        stems = frozenset(stem(word.lower()) for word in words)
        return words, ReferenceSynonyms(synonyms_of, stems)

    def meteor(summary: str, reference: str) -> float:
        words, synonyms = read(reference)
        return float(single_meteor_score(words, tokens(summary), stemmer=_Stems, wordnet=synonyms))

    return meteor


class _Stems:
    """Stands in for NLTK's stemmer."""

    stem = staticmethod(stem)


@lru_cache(maxsize=1)
def _synonyms_of_wordnet() -> SynonymsOf:
    from tersely.rewards.wordnet import open_wordnet

    return wordnet_synonyms(open_wordnet())


@dataclass
class MeteorConfig(RewardConfig):
    """`reward=meteor`: METEOR with WordNet."""

    meteor_weight: float = 1.0
    """Weight of METEOR in the sum; above 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weight("reward.meteor_weight", self.meteor_weight)

    def quality(self) -> tuple[Term, ...]:
        metric = meteor_scorer(self.meteor_matching)
        return (*super().quality(), quality_term("meteor", self.meteor_weight, metric))
