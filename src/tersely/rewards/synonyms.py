"""The part of WordNet that METEOR reads, cached and safe to share between threads.

NLTK's reader seeks in open files, so two threads that look up new words at once read each other's
lines. Here one lock guards the reader, and a word that was looked up before never reaches it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

SynonymsOf = Callable[[str], frozenset[str]]
"""A word to all its synonyms, over all senses and parts of speech."""


def wordnet_synonyms(reader: "WordNetCorpusReader") -> SynonymsOf:
    """The synonyms that NLTK's `reader` has of a word, read by one thread at a time."""
    reading = Lock()

    @lru_cache(maxsize=2**16)
    def synonyms_of(word: str) -> frozenset[str]:
        with reading:
            senses = reader.synsets(word)
            return frozenset(lemma.name() for sense in senses for lemma in sense.lemmas())

    return synonyms_of


def no_synonyms(word: str) -> frozenset[str]:
    """A WordNet without a word: METEOR then stops at equal forms and equal stems."""
    return frozenset()


@dataclass(frozen=True)
class Lemma:
    """A synonym, behind the method by which METEOR asks for it."""

    text: str

    def name(self) -> str:
        return self.text


@dataclass(frozen=True)
class Synset:
    """Synonyms of a word, behind the method by which METEOR asks for them."""

    synonyms: tuple[Lemma, ...]

    def lemmas(self) -> tuple[Lemma, ...]:
        return self.synonyms


@dataclass(frozen=True)
class ReferenceSynonyms:
    """Stands in for NLTK's WordNet reader where METEOR scores against one reference.

    METEOR asks for all synonyms of a word of the summary and uses those among the stems of the
    reference. Only these are given, which changes no score and saves most of the work.
    """

    synonyms_of: SynonymsOf
    stems: frozenset[str]

    def synsets(self, word: str) -> tuple[Synset, ...]:
        return (Synset(tuple(map(Lemma, self.synonyms_of(word) & self.stems))),)
