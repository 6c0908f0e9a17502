"""Porter stems, remembered: stemming is most of the cost of ROUGE and METEOR."""

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nltk.stem.porter import PorterStemmer


@lru_cache(maxsize=2**16)
def stem(word: str) -> str:
    """The stem of `word` by NLTK's Porter stemmer, the one that rouge_score uses too."""
    return str(_porter().stem(word))


@lru_cache(maxsize=1)
def _porter() -> "PorterStemmer":
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer()
