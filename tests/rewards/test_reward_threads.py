"""Scoring from several threads at once."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tersely.rewards.bleu import sentence_bleu
from tersely.rewards.matching import Matching
from tersely.rewards.meteor import _synonyms_of_wordnet, meteor_scorer
from tersely.rewards.quality import Metric
from tersely.rewards.rouge import rouge_l
from tersely.rewards.synonyms import wordnet_synonyms

LINES = [
    "work water street keep friend",
    "laugh night door phone catch",
    "spend borrow kitchen walk throw",
    "boss cover stain paint order",
    "coffee train hide break park",
    "charge clean lose wall smell",
    "sister carry drop garden ring",
    "doctor shout answer cook burn",
    "letter wait finger cut leave",
]

Pairs = list[tuple[str, str]]


class OneFile:
    """A reader that, like NLTK's, is wrong as soon as two threads are in it."""

    def __init__(self) -> None:
        self.readers = 0

    def synsets(self, word: str) -> list[object]:
        self.readers += 1
        time.sleep(0.005)
        assert self.readers == 1
        self.readers -= 1
        return []


def test_one_thread_reads_at_a_time() -> None:
    """However many threads ask, WordNet's files are read by one of them."""
    synonyms_of = wordnet_synonyms(OneFile())
    with ThreadPoolExecutor(4) as pool:
        assert [frozenset()] * 8 == list(pool.map(synonyms_of, "abcdefgh"))


def score(meteor: Metric, pairs: Pairs) -> list[tuple[float, float, float]]:
    return [(rouge_l(*pair), sentence_bleu(*pair, smooth=True), meteor(*pair)) for pair in pairs]


def test_two_threads_score_as_one(user_cache: Path) -> None:
    """Two threads that meet every word for the first time score as one thread does."""
    pairs = [(summary, reference) for summary in LINES for reference in LINES]
    _synonyms_of_wordnet.cache_clear()
    shared = meteor_scorer(Matching.wordnet)
    with ThreadPoolExecutor(2) as pool:
        forward = pool.submit(score, shared, pairs)
        backward = pool.submit(score, shared, pairs[::-1])
        together = forward.result(), backward.result()[::-1]
    _synonyms_of_wordnet.cache_clear()
    alone = score(meteor_scorer(Matching.wordnet), pairs)

    assert (alone, alone) == together
